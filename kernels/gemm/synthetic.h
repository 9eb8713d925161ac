// Matrices that look like what quantisation meets, reproducible from a seed on any machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::kernels {

enum class SyntheticKind : std::uint8_t {
  normal,            // independent N(0, 1)
  heavy_tailed,      // Student's t with 4 degrees of freedom: rare values far out, anywhere
  outlier_channels,  // N(0, 1), one column of k in 128 (at least one) 20 times larger, as LLM
                     // activations have
};

std::string to_string(SyntheticKind kind);

// Uniform 64-bit numbers (splitmix64) and what is made of them; no std:: distribution, whose
// results differ between libraries.
class SyntheticRandom {
 public:
  explicit SyntheticRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  std::int64_t between(std::int64_t low, std::int64_t high) {               // inclusive
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }
  double normal();

 private:
  std::uint64_t state_;
};

// [rows][k]; k is the dimension that a GEMM sums over.
std::vector<float> synthetic_matrix(SyntheticKind kind, std::int64_t rows, std::int64_t k,
                                    std::uint64_t seed);

}  // namespace foretoken::kernels
