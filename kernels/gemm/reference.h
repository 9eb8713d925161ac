// What the kernels must compute, in the plainest code: integer dot products in 64 bits, everything
// else in fp64. The final conversion of an integer result is spelled out here because the kernels
// reproduce it to the bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gemm/quantize.h"

namespace foretoken::kernels {

// Integer dot products a[m, k] . w[n, k], row-major [m][n].
std::vector<std::int64_t> reference_int_gemm(const QuantizedActivations& activations,
                                             const QuantizedWeights& weights);

// w8a8 and w4a8 per channel: float(dot) * channel scale * token scale, in this order, each step
// rounded to fp32. A 64-bit dot product below 2^31 converts like a 32-bit one.
std::vector<float> reference_per_channel(const QuantizedActivations& activations,
                                         const QuantizedWeights& weights);

// w4a8 with float scales: acc = fma(float(dot_g), scale_g, acc) over the groups in order, from 0,
// in fp32; then acc * token scale.
std::vector<float> reference_group_float(const QuantizedActivations& activations,
                                         const QuantizedWeights& weights);

// w4a8 with integer scales: float(sum_g dot_g * S_g), the sum in 64 bits, * 2^-alpha * token scale.
std::vector<float> reference_group_integer(const QuantizedActivations& activations,
                                           const QuantizedWeights& weights,
                                           const IntegerScales& scales);

// a[m, k] . w[n, k] in fp64.
std::vector<double> reference_fp64_gemm(std::span<const float> activations,
                                        std::span<const float> weights, std::int64_t m,
                                        std::int64_t n, std::int64_t k);

// The fp32 values that the quantised forms stand for (exact up to one rounding of value * scale).
std::vector<float> dequantize(const QuantizedWeights& weights);
std::vector<float> dequantize(const QuantizedActivations& activations);
std::vector<float> dequantize(const Fp8Matrix& matrix);

}  // namespace foretoken::kernels
