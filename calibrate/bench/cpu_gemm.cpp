#include "kernels/gemm/cpu_gemm.h"

#include "calibrate/bench/cpu_subjects.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {

namespace k = kernels;

k::GemmFormat kernel_format(const std::string& name) {
  for (const auto& [profile_name, kernel_name] : kGemmFormatNames) {
    if (profile_name == name) {
      return k::parse_gemm_format(kernel_name);
    }
  }
  FT_CHECK(false, "GEMM format {}", name);
}

// Activations have just been written and stay in cache; every call takes weights that are cold.
struct GemmSubject::Impl {
  k::GemmDescriptor descriptor;
  k::CpuGemmConfig config;
  k::CpuGemm gemm;
  Pool& pool;
  std::size_t weight_bytes;
  std::vector<float> scales;
  k::GemmActivations activations;
  std::vector<std::uint16_t> out;

  Impl(const k::GemmFormat& format, std::int64_t m, std::int64_t n, std::int64_t depth, Pool& p,
       k::WorkerPool& workers)
      : descriptor{m, n, depth, format, k::OutputType::bf16},
        config(k::choose_cpu_gemm_config(descriptor, k::cpu_features(), workers.threads())),
        gemm(workers),
        pool(p),
        weight_bytes(k::arbitrary_weight_bytes(format, n, depth)),
        scales(static_cast<std::size_t>(m * ((depth + 127) / 128)), 0.01F),
        out(static_cast<std::size_t>(m * n)) {
    const bool wide = format.activations == k::ActivationFormat::bf16;
    activations = {pool.next(static_cast<std::size_t>(m * depth) * (wide ? 2 : 1)), scales.data()};
  }
};

GemmSubject::GemmSubject(const k::GemmFormat& format, std::int64_t m, std::int64_t n,
                         std::int64_t depth, Pool& pool, k::WorkerPool& workers)
    : impl_(std::make_unique<Impl>(format, m, n, depth, pool, workers)) {}
GemmSubject::~GemmSubject() = default;

void GemmSubject::run(bool cold) {
  Impl& i = *impl_;
  auto* const bytes = cold ? i.pool.next(i.weight_bytes) : i.pool.slice(i.weight_bytes, 0);
  const k::PackedWeights weights = k::arbitrary_weights(
      i.descriptor.format, i.descriptor.n, i.descriptor.k, reinterpret_cast<std::uint8_t*>(bytes));
  i.gemm.run(i.descriptor, i.config, weights, i.activations, i.out.data());
}

}  // namespace foretoken::calibrate
