#include "kernels/gemm/bench/run_benchmarks.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "kernels/base/error.h"

namespace foretoken::kernels {

void run_benchmarks(std::vector<std::string> options, const std::string& default_filter) {
  const auto has = [&](const char* name) {
    return std::any_of(options.begin(), options.end(),
                       [&](const std::string& option) { return option.starts_with(name); });
  };
  for (const std::string& option : options) {
    if (!option.starts_with("--benchmark_")) {
      throw KernelError("unknown argument \"" + option + "\"; see --help");
    }
  }
  if (!has("--benchmark_filter") && !has("--benchmark_list_tests")) {
    fmt::print(stderr, "only {} (--benchmark_filter=. runs everything and takes hours)\n",
               default_filter);
    options.push_back("--benchmark_filter=" + default_filter);
  }
  std::string program = "bench";
  std::vector<char*> arguments{program.data()};
  for (std::string& option : options) {
    arguments.push_back(option.data());
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (count > 1) {
    throw KernelError(std::string("unknown argument \"") + arguments[1] + "\"; see --help");
  }
  if (benchmark::RunSpecifiedBenchmarks() == 0) {
    throw KernelError("no benchmark has such a name; --benchmark_list_tests prints them all");
  }
}

}  // namespace foretoken::kernels
