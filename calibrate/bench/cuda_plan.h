// What is timed on a GPU: families and shapes alone, so that they can be tested without one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "calibrate/bench/suite.h"

namespace foretoken::calibrate {

struct PlannedCase {
  std::string family;  // as in profiles; launch.*, virtual_ranks.* and pinned_all_reduce.* beside
  std::vector<std::int64_t> shape;
};

// `memory`: bytes of the device; what does not fit into half of it is left out.
std::vector<PlannedCase> plan_cuda(const SuiteOptions& options, std::size_t memory);

// bf16 and fp8 run in cuBLASLt, the others are our own kernels.
std::vector<std::string> cuda_gemm_formats();

}  // namespace foretoken::calibrate
