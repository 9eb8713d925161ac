// gemm_bench                     Google Benchmark over the layers of real models (choose with
//                                --benchmark_filter=llama-3.1-8b/qkv/tp1/w4a8/m:16)
// gemm_bench --compare [...]     formats and oneDNN interleaved; --cold, --threads T, --isa NAME,
// --n N,
//                                --k K, --m 1,16,128, --formats w8a8,w4a8, --seconds S
// gemm_bench --error [...]       numeric error of each format against fp64; --safetensors FILE,
// --tensor NAME
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/gemm/bench/compare.h"
#include "kernels/gemm/bench/error_table.h"
#include "kernels/gemm/bench/model_shapes.h"
#include "kernels/gemm/bench/operands.h"

namespace foretoken::kernels {
namespace {

void run_layer(benchmark::State& state, const LayerGemm& layer, const GemmFormat& format) {
  const GemmDescriptor descriptor{state.range(0), layer.n, layer.k, format, OutputType::bf16};
  WorkerPool pool(1);
  CpuGemm gemm(pool);
  const BenchOperands operands = make_bench_operands(descriptor, 1);
  std::vector<Bf16> out(static_cast<std::size_t>(descriptor.m * descriptor.n));
  for (auto _ : state) {
    gemm.run(descriptor, operands.weights, operands.view(), out.data());
    benchmark::ClobberMemory();
  }
  const double work = 2.0 * static_cast<double>(descriptor.m * descriptor.n * descriptor.k);
  state.counters["GOP/s"] =
      benchmark::Counter(work * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["weight_GB/s"] =
      benchmark::Counter(static_cast<double>(weight_bytes(format, layer.n, layer.k)) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(to_string(choose_cpu_gemm_config(descriptor, cpu_features(), 1)));
}

void register_layers() {
  for (const LayerGemm& layer : layer_gemms()) {
    for (const GemmFormat& format : all_gemm_formats()) {
      benchmark::RegisterBenchmark(
          (layer.name + "/" + to_string(format)).c_str(),
          [=](benchmark::State& state) { run_layer(state, layer, format); })
          ->ArgName("m")
          ->RangeMultiplier(4)
          ->Range(1, 8192)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// --name value pairs; a --name followed by another --name or by nothing is a switch.
std::map<std::string, std::string> read_options(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 2; i < argc; ++i) {
    const std::string name = argv[i];
    const bool has_value = i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--";
    options[name] = has_value ? argv[++i] : "";
  }
  return options;
}

void compare(int argc, char** argv) {
  CompareOptions options;
  for (const auto& [name, value] : read_options(argc, argv)) {
    if (name == "--cold") {
      options.cold = true;
    } else if (name == "--threads") {
      options.threads = std::stoi(value);
    } else if (name == "--isa") {
      options.isa = value;
    } else if (name == "--n") {
      options.n = std::stoll(value);
    } else if (name == "--k") {
      options.k = std::stoll(value);
    } else if (name == "--seconds") {
      options.seconds = std::stod(value);
    } else if (name == "--formats") {
      options.formats = split(value);
    } else if (name == "--m") {
      options.m.clear();
      for (const std::string& m : split(value)) {
        options.m.push_back(std::stoll(m));
      }
    } else {
      throw KernelError("gemm_bench --compare: unknown option " + name);
    }
  }
  compare_gemms(options);
}

void print_errors(int argc, char** argv) {
  ErrorTableOptions options;
  for (const auto& [name, value] : read_options(argc, argv)) {
    if (name == "--safetensors") {
      options.safetensors = value;
    } else if (name == "--tensor") {
      options.tensor = value;
    } else if (name == "--search-clipping") {
      options.search_clipping = true;
    } else {
      throw KernelError("gemm_bench --error: unknown option " + name);
    }
  }
  print_error_table(options);
}

int run(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--compare") {
    compare(argc, argv);
    return 0;
  }
  if (argc > 1 && std::string_view(argv[1]) == "--error") {
    print_errors(argc, argv);
    return 0;
  }
  register_layers();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  try {
    return foretoken::kernels::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
