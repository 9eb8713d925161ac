#include "kernels/gemm/bench/compare.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "kernels/base/error.h"
#include "kernels/base/rounds.h"
#include "kernels/gemm/bench/operands.h"
#include "kernels/gemm/onednn_gemm.h"

namespace foretoken::kernels {
namespace {

std::size_t rotation(std::size_t bytes, bool cold) {
  const long l3 = std::max(0L, sysconf(_SC_LEVEL3_CACHE_SIZE));
  return cold ? static_cast<std::size_t>(2 * l3) / bytes + 2 : 1;
}

// Our kernel for one format, over as many copies of its weights as the rotation asks for.
Contestant ours(const std::string& name, const CompareOptions& options, std::int64_t m,
                CpuGemm& gemm, std::vector<float>& out) {
  const GemmDescriptor descriptor{m, options.n, options.k, parse_gemm_format(name),
                                  OutputType::fp32};
  auto operands = std::make_shared<BenchOperands>(make_bench_operands(descriptor, 1));
  auto copies = std::make_shared<std::vector<PackedWeights>>();
  const std::size_t count = rotation(operands->weights.data.size(), options.cold);
  for (std::size_t i = 0; i < count; ++i) {
    copies->push_back(clone(operands->weights));
  }
  CpuGemmConfig config = choose_cpu_gemm_config(descriptor, cpu_features(), options.threads);
  for (const CpuIsa isa : available_isas(cpu_features())) {
    if (to_string(isa) == options.isa) {
      config.isa = isa;
      config.expand_once = config.expand_once && m >= kernels_of(isa).expand_from_rows;
    }
  }
  return {name + " (" + to_string(config.isa) + ")", [=, &gemm, &out](std::size_t round) {
            return wall_seconds(1, [&] {
              gemm.run(descriptor, config, (*copies)[round % count], operands->view(), out.data());
            });
          }};
}

Contestant library(const CompareOptions& options, OneDnnKind kind, std::int64_t m,
                   std::vector<float>& out) {
  const char* const format = kind == OneDnnKind::int8 ? "w8a8" : "bf16";
  const GemmDescriptor descriptor{m, options.n, options.k, parse_gemm_format(format),
                                  OutputType::fp32};
  auto operands = std::make_shared<BenchOperands>(make_bench_operands(descriptor, 1));
  auto copies = std::make_shared<std::vector<std::unique_ptr<OneDnnGemm>>>();
  const std::size_t count = rotation(operands->raw_weights.size(), options.cold);
  for (std::size_t i = 0; i < count; ++i) {
    copies->push_back(make_onednn_gemm(kind, m, options.n, options.k, operands->raw_weights.data(),
                                       options.threads));
  }
  const std::string implementation = copies->front()->implementation();
  return {fmt::format("onednn {} ({})", kind == OneDnnKind::int8 ? "int8" : "bf16", implementation),
          [=, &out](std::size_t round) {
            return wall_seconds(1, [&] {
              (*copies)[round % count]->run(operands->activations.data(), out.data());
            });
          }};
}

void print_rows(const std::vector<Contestant>& contestants, const CompareOptions& options,
                std::int64_t m) {
  const double work = 2.0 * static_cast<double>(m * options.n * options.k);
  for (const Contestant& contestant : contestants) {
    const double best = least(contestant.seconds);
    fmt::print("{:>5}  {:<34} {:>10.1f} {:>10.1f} {:>8.0f} {:>6.2f}  {}\n", m, contestant.name,
               best * 1e6, median(contestant.seconds) * 1e6, work / best * 1e-9,
               median_speed(contestant, contestants.front()), contestant.seconds.size());
  }
  std::fflush(stdout);
}

}  // namespace

void compare_gemms(const CompareOptions& options) {
  WorkerPool pool(options.threads);
  CpuGemm gemm(pool);
  fmt::print("n={} k={} threads={} weights {}\n", options.n, options.k, options.threads,
             options.cold ? "cold (rotation of twice the reported L3)" : "warm in L3");
  fmt::print("{:>5}  {:<34} {:>10} {:>10} {:>8} {:>6}  {}\n", "m", "kernel", "best us", "median us",
             "GOP/s", "speed", "rounds");
  for (const std::int64_t m : options.m) {
    std::vector<float> out(static_cast<std::size_t>(m * options.n));
    std::vector<Contestant> contestants;
    const bool bf16 = options.formats.front() == "bf16";
    if (has_onednn()) {
      contestants.push_back(library(options, bf16 ? OneDnnKind::bf16 : OneDnnKind::int8, m, out));
    }
    for (const std::string& format : options.formats) {
      contestants.push_back(ours(format, options, m, gemm, out));
    }
    time_rounds(contestants, {.fewest = 7, .warm = 2, .least_seconds = options.seconds});
    print_rows(contestants, options, m);
  }
}

}  // namespace foretoken::kernels
