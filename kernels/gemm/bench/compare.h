// Formats against each other and against oneDNN in one process: every round times each contestant
// once, so that clocks and neighbours treat all alike, and ratios are taken within a round.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::kernels {

struct CompareOptions {
  std::int64_t n = 4096, k = 4096;
  std::vector<std::int64_t> m = {1, 16, 128, 512};
  std::vector<std::string> formats = {"w8a8", "w4a8", "w4a8_g128_float", "w4a8_g128_integer"};
  std::string isa;  // best when empty
  int threads = 1;
  bool cold = false;     // rotate weights through twice the reported L3
  double seconds = 1.0;  // per m
};

// Prints a table: best and median time, GOP/s, and the median ratio of speeds to the first
// contestant (oneDNN int8 where there is one, else w8a8).
void compare_gemms(const CompareOptions& options);

}  // namespace foretoken::kernels
