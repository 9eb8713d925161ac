// Weights as small integers with scales, before any layout: what every packer starts from and every
// reference reads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/float_types.h"
#include "kernels/gemm/descriptor.h"

namespace foretoken::kernels {

struct QuantizeOptions {
  int bits = 8;
  int group = 0;                 // values of k per scale; 0: per channel
  bool search_clipping = false;  // try smaller ranges and keep the one with the least squared error
};

// w[n, k] ~ values[n, k] * scales[n, k / group].
struct QuantizedWeights {
  std::int64_t n = 0, k = 0;
  int bits = 8;
  int group = 0;
  std::vector<std::int8_t> values;  // row-major [n][k], within +-weight_limit(bits)
  std::vector<float> scales;        // row-major [n][groups()]

  std::int64_t group_size() const { return group == 0 ? k : group; }
  std::int64_t groups() const { return group == 0 ? 1 : (k + group - 1) / group; }
};

// Round to nearest even onto a symmetric grid, scale = max|w| / limit (or less with the search).
QuantizedWeights quantize_weights(std::span<const float> weights, std::int64_t n, std::int64_t k,
                                  const QuantizeOptions& options);
QuantizedWeights quantize_weights(std::span<const Bf16> weights, std::int64_t n, std::int64_t k,
                                  const QuantizeOptions& options);

// Integer Scale (arXiv 2405.14597): the scale of a group becomes round(alpha * scale) with one
// power of two alpha per matrix, and out = sum_g(dot_g * integer_scale_g) / alpha in 32-bit
// integers.
//
// Overflow is excluded by proof, not by luck: with activations in [-127, 127] the partial sum of
// channel c over a run of groups never exceeds sum_g S[c, g] * 127 * sum_{k in g} |w[c, k]| in
// magnitude, whatever the order. `alpha` is the largest power of two that keeps this bound below
// 2^31 for every channel. If that leaves scales too coarse (relative rounding error above 1 %,
// which costs a 4-bit matrix less than 0.1 dB), k is split into `k_splits` runs of groups, each
// with its own 32-bit sum, and the runs are added in 64 bits.
struct IntegerScales {
  int alpha_log2 = 0;
  int k_splits = 1;
  std::int64_t groups_per_split = 0;
  std::vector<std::int32_t> values;  // [n][groups], each below 2^16
  std::int64_t bound = 0;            // of any partial sum; below 2^31
  double rms_error = 0;  // relative rounding error of the scales, weighted by their square
};
IntegerScales choose_integer_scales(const QuantizedWeights& weights);

// Activations of one GEMM, one scale per token: a[m, k] ~ values * scales[m]. Non-finite input is
// the caller's mistake.
struct QuantizedActivations {
  std::int64_t m = 0, k = 0;
  std::vector<std::int8_t> values;  // row-major [m][k], within +-127
  std::vector<float> scales;        // [m]
};
QuantizedActivations quantize_activations(std::span<const float> activations, std::int64_t m,
                                          std::int64_t k);

// fp8 e4m3 weights or activations; `scales` as `scale` says: one, one per row, or [rows /
// block_rows][k / 128] for 128-blocks (block_rows is 128 for weights and 1 for activations).
struct Fp8Matrix {
  std::int64_t rows = 0, k = 0;
  ScaleKind scale = ScaleKind::per_tensor;
  std::int64_t block_rows = 1;
  std::vector<Fp8E4m3> values;  // row-major
  std::vector<float> scales;

  std::int64_t k_blocks() const { return scale == ScaleKind::block_128 ? (k + 127) / 128 : 1; }
  float scale_at(std::int64_t row, std::int64_t column) const;
};
Fp8Matrix quantize_fp8(std::span<const float> values, std::int64_t rows, std::int64_t k,
                       ScaleKind scale, std::int64_t block_rows);

}  // namespace foretoken::kernels
