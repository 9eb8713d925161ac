#include "kernels/gemm/format_error.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/gemm/cpu_gemm.h"
#include "kernels/gemm/reference.h"

namespace foretoken::kernels {
namespace {

FormatError compare(const std::vector<double>& exact, const std::vector<float>& got) {
  double signal = 0, noise = 0, largest = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double error = got[i] - exact[i];
    signal += exact[i] * exact[i];
    noise += error * error;
    largest = std::max(largest, std::fabs(error));
  }
  const double rms = std::sqrt(signal / static_cast<double>(exact.size()));
  return {10 * std::log10(signal / noise), std::sqrt(noise / signal), largest / rms};
}

}  // namespace

std::vector<float> format_output(const GemmFormat& format, std::span<const float> weights,
                                 std::span<const float> activations, std::int64_t m, std::int64_t n,
                                 std::int64_t k, bool search_clipping, WorkerPool& pool) {
  FT_KERNEL_CHECK(static_cast<std::int64_t>(weights.size()) == n * k &&
                  static_cast<std::int64_t>(activations.size()) == m * k);
  const PackedWeights packed = pack_from_fp32(weights, n, k, format, search_clipping);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  CpuGemm gemm(pool);
  const GemmDescriptor descriptor{m, n, k, format, OutputType::fp32};
  switch (format.activations) {
    case ActivationFormat::int8: {
      const QuantizedActivations a = quantize_activations(activations, m, k);
      gemm.run(descriptor, packed, {a.values.data(), a.scales.data()}, out.data());
      break;
    }
    case ActivationFormat::fp8_e4m3: {
      const Fp8Matrix a = quantize_fp8(activations, m, k, format.scale, 1);
      gemm.run(descriptor, packed, {a.values.data(), a.scales.data()}, out.data());
      break;
    }
    case ActivationFormat::bf16: {
      std::vector<Bf16> a;
      std::transform(activations.begin(), activations.end(), std::back_inserter(a), to_bf16);
      gemm.run(descriptor, packed, {a.data(), nullptr}, out.data());
      break;
    }
  }
  return out;
}

FormatError measure_format_error(const GemmFormat& format, std::span<const float> weights,
                                 std::span<const float> activations, std::int64_t m, std::int64_t n,
                                 std::int64_t k, bool search_clipping, WorkerPool& pool) {
  return compare(reference_fp64_gemm(activations, weights, m, n, k),
                 format_output(format, weights, activations, m, n, k, search_clipping, pool));
}

}  // namespace foretoken::kernels
