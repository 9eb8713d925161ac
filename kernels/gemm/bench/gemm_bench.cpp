// gemm_bench: CPU GEMMs of every format at the shapes of real models (Google Benchmark), beside
// oneDNN (--compare), and their numeric error (--error).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "kernels/base/error.h"
#include "kernels/gemm/bench/compare.h"
#include "kernels/gemm/bench/error_table.h"
#include "kernels/gemm/bench/model_shapes.h"
#include "kernels/gemm/bench/operands.h"
#include "kernels/gemm/bench/run_benchmarks.h"

namespace foretoken::kernels {
namespace {

constexpr const char* kDescription =
    R"(Times and errors of the CPU GEMMs, out[m][n] = activations[m][k] x weights[n][k].

  gemm_bench --compare --m 16,128         every format and oneDNN int8, in turn, one thread
  gemm_bench --compare --cold --m 1       the same with weights that no cache holds, as in decoding
  gemm_bench --error                      signal-to-noise ratio of every format against fp64
  gemm_bench --error --safetensors model.safetensors --tensor NAME     the same on your own weights
  gemm_bench --benchmark_filter=llama-3.1-8b/tp1/qkv/w4a8/m:16         layers of real models
  gemm_bench --benchmark_list_tests       their names: MODEL/TP/GEMM/FORMAT/m:TOKENS, m from 1 to 8192

Other --benchmark_... options are Google Benchmark's.)";

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

// "" or what is wrong with it.
std::string check_format(const std::string& name) {
  try {
    parse_gemm_format(name);
    return "";
  } catch (const KernelError& error) {
    return error.what();
  }
}

CLI::Option* add_compare_options(CLI::App& app, CompareOptions& options) {
  CLI::Option* compare =
      app.add_flag("--compare")->description("Formats and oneDNN in turn in one process");
  std::vector<std::string> isas;
  for (const CpuIsa isa : available_isas(cpu_features())) {
    isas.push_back(to_string(isa));
  }
  const CLI::Range size(1, 1 << 20);
  std::string formats = "Of";
  for (const GemmFormat& format : all_gemm_formats()) {
    formats += " " + to_string(format);
  }
  for (CLI::Option* option : {
           app.add_option("--m", options.m, "Tokens")->delimiter(',')->check(size),
           app.add_option("--n", options.n, "Output channels")->check(size),
           app.add_option("--k", options.k, "Input channels")->check(size),
           app.add_option("--formats", options.formats, formats)
               ->delimiter(',')
               ->check(CLI::Validator(check_format, "")),
           app.add_option("--isa", options.isa, "Instruction set instead of the best")
               ->check(CLI::IsMember(isas)),
           app.add_option("--threads", options.threads, "Of our kernels and oneDNN")
               ->check(CLI::Range(1, 1024)),
           app.add_flag("--cold", options.cold, "Weights rotate through twice the reported L3"),
           app.add_option("--seconds", options.seconds, "Measured per m")
               ->check(CLI::Range(0.01, 3600.0)),
       }) {
    option->needs(compare)->group("With --compare")->capture_default_str();
  }
  return compare;
}

CLI::Option* add_error_options(CLI::App& app, ErrorTableOptions& options) {
  CLI::Option* error =
      app.add_flag("--error")->description("Numeric error of every format against fp64");
  CLI::Option* file =
      app.add_option("--safetensors", options.safetensors, "Weights from this file, not N(0, 1)")
          ->type_name("FILE");
  CLI::Option* tensor =
      app.add_option("--tensor", options.tensor, "One matrix [n][k] of it instead of all")
          ->needs(file);
  CLI::Option* search = app.add_flag("--search-clipping", options.search_clipping,
                                     "Scales that minimise the squared error of the weights");
  for (CLI::Option* option : {file, tensor, search}) {
    option->needs(error)->group("With --error");
  }
  return error;
}

int run(int argc, char** argv) {
  CLI::App app(kDescription, "gemm_bench");
  app.allow_extras();  // Google Benchmark's
  CompareOptions compare_options;
  ErrorTableOptions error_options;
  const CLI::Option* compare = add_compare_options(app, compare_options);
  CLI::Option* error = add_error_options(app, error_options);
  error->excludes(app.get_option("--compare"));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {
    return app.exit(request);
  } catch (const CLI::ParseError& problem) {
    throw KernelError(std::string(problem.what()) + "; see --help");
  }
  const std::vector<std::string> rest = app.remaining();
  if (!rest.empty() && (*compare || *error)) {
    throw KernelError("unknown argument \"" + rest.front() + "\"; see --help");
  }
  if (*compare) {
    compare_gemms(compare_options);
  } else if (*error) {
    print_error_table(error_options);
  } else {
    register_layers();
    run_benchmarks(rest, "llama-3.1-8b/tp1/.*/w[48]a8/");
  }
  return 0;
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  try {
    return foretoken::kernels::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "gemm_bench: {}\n", error.what());
    return 2;
  }
}
