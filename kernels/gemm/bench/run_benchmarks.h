// The Google Benchmark half of gemm_bench and layer_bench.
#pragma once

#include <string>
#include <vector>

namespace foretoken::kernels {

// Runs the registered benchmarks that `options` (--benchmark_...) choose; without a filter those of
// `default_filter`, and says so, because all of them take hours. Throws KernelError for an argument
// that Google Benchmark does not know and for a filter that nothing matches.
void run_benchmarks(std::vector<std::string> options, const std::string& default_filter);

}  // namespace foretoken::kernels
