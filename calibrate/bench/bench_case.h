// One thing to time: a kernel on one shape, or a wire with one message.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "calibrate/bench/timing.h"

namespace foretoken::calibrate {

struct BenchCase {
  std::string family;               // its sample table in the profile: "gemm.bf16"
  std::vector<std::int64_t> shape;  // as that table states it: m, n, k
  // Prepares operands, times the kernel for about so many seconds, and puts everything away.
  std::function<Timing(double seconds)> measure;
  // Which of a pass's numbers stands for it: on a CPU the lower quartile, as what disturbs a call
  // only ever lengthens it, on a GPU the median.
  double Timing::*statistic = &Timing::lower;
  int cores = 1;  // it keeps busy at once: the sentinel watches as many
};

// What one pass over a case gave.
struct PassResult {
  std::string family;
  std::vector<std::int64_t> shape;
  int pass = 0;
  double seconds = 0, least = 0, p90 = 0;
  int samples = 0;
  double sentinel = 0;  // s of the sentinel kernel, the slower of those before and after
  int cores = 1;        // that the case and the sentinel kept busy
};

// "gemm.bf16/16x768x768": how a case is named in journals and reports.
std::string case_name(const std::string& family, const std::vector<std::int64_t>& shape);

}  // namespace foretoken::calibrate
