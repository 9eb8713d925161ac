// The transformer layer in fp32, in the plainest code, and what error a GEMM format should cause in
// it.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/layer/transformer_layer.h"

namespace foretoken::kernels {

LayerWeights random_layer_weights(const LayerShape& shape, std::uint64_t seed);

// hidden is [tokens][shape.hidden], positions 0, 1, ...; returns what the layer adds to it.
std::vector<float> reference_layer_delta(const LayerShape& shape, const LayerWeights& weights,
                                         const std::vector<Bf16>& hidden);

// Relative error (root of noise over signal) that rounding both operands of a GEMM to `format`
// causes in its output: independent errors of weights and activations add, each relative to its own
// norm.
double gemm_relative_error(const GemmFormat& format, const std::vector<float>& weights,
                           std::int64_t n, std::int64_t k, const std::vector<float>& activations,
                           std::int64_t m);

double relative_difference(const std::vector<float>& want, const std::vector<float>& got);

struct LayerComparison {
  double measured;   // relative error of what the layer adds, against fp32
  double predicted;  // from the format's error in one GEMM
};
// Runs the layer on `tokens` tokens. Prediction: the layer's output is the sum of two branches.
// Each is a chain of GEMMs whose relative errors add as squares: qkv then o (attention averages
// values, it neither amplifies nor removes relative error), and gate and up, whose product doubles
// the variance, then down.
LayerComparison compare_layer(const LayerShape& shape, const LayerWeights& weights,
                              const GemmFormat& format, KvFormat kv, std::int64_t tokens,
                              std::uint64_t seed);

}  // namespace foretoken::kernels
