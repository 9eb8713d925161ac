// The inner loops of the layer kernels, once per instruction set from one source (vector_ops.inc).
// Every sum runs in 16 lanes that are added in a fixed order and nothing is contracted, so that all
// versions give the same bits.
//
// 16-bit values are bf16 patterns. Pointers need no alignment.
#pragma once

#include <cstdint>

#include "kernels/base/cpu_features.h"

namespace foretoken::kernels {

// What a row of a KV cache holds; see kv_cache.h.
enum class KvFormat : std::uint8_t { bf16, int8, fp8_e4m3 };

// Running state of one query row of flash attention: out = sum of p v, with p = exp(s - max).
struct SoftmaxState {
  float max;
  float sum;
};

struct VectorOps {
  // out = x / sqrt(mean(x^2) + eps) * weight
  void (*rms_norm)(const std::uint16_t* x, const std::uint16_t* weight, std::int64_t count,
                   float eps, std::uint16_t* out);
  // x += y, rounded once
  void (*add)(std::uint16_t* x, const std::uint16_t* y, std::int64_t count);
  // out = gate / (1 + exp(-gate)) * up
  void (*silu_multiply)(const std::uint16_t* gate, const std::uint16_t* up, std::int64_t count,
                        std::uint16_t* out);
  // Pairs (x[i], x[i + half]) turned by the angle whose cosine and sine are given.
  void (*rotate)(std::uint16_t* x, const float* cosine, const float* sine, std::int64_t half);
  // Largest magnitude.
  float (*largest)(const std::uint16_t* x, std::int64_t count);
  // round(x / scale) to nearest even, within +-127.
  void (*quantize_int8)(const std::uint16_t* x, std::int64_t count, float scale, std::int8_t* out);
  // First index of the largest value.
  std::int64_t (*argmax)(const float* x, std::int64_t count);
  // Row of a KV cache to fp32, times its scale.
  void (*widen)(const void* row, KvFormat format, float scale, std::int64_t count, float* out);
  // scores[i] = scale * sum q k
  float (*dot)(const float* q, const float* k, std::int64_t count);
  // out = out * keep + p * v
  void (*accumulate)(float* out, float keep, float p, const float* v, std::int64_t count);
  // x[i] = exp(x[i] - max) in place; returns the sum. -inf gives 0.
  float (*exponentials)(float* x, std::int64_t count, float max);
  float (*maximum)(const float* x, std::int64_t count);
  // out = a * b * factor
  void (*multiply)(const float* a, const float* b, float factor, std::int64_t count, float* out);
  // out = a * b, rounded to bf16
  void (*multiply_narrow)(const float* a, const float* b, std::int64_t count, std::uint16_t* out);
};

const VectorOps& vector_ops_base();
const VectorOps& vector_ops_avx2();
const VectorOps& vector_ops_avx512();
const VectorOps& vector_ops(const CpuFeatures& features);

}  // namespace foretoken::kernels
