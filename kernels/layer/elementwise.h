// The operators of a transformer layer between its GEMMs. Rows are tokens; values are bf16, sums
// fp32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/float_types.h"
#include "kernels/gemm/descriptor.h"
#include "kernels/gemm/worker_pool.h"

namespace foretoken::kernels {

// out = x / sqrt(mean(x^2) + eps) * weight, for each of `rows` rows of weight.size() values.
void rms_norm(std::span<const Bf16> x, std::span<const Bf16> weight, float eps, std::span<Bf16> out,
              WorkerPool& pool);
// x += y
void add_residual(std::span<Bf16> x, std::span<const Bf16> y, WorkerPool& pool);
// gate_up is [rows][2][width]: out = silu(gate) * up, [rows][width].
void silu_multiply(std::span<const Bf16> gate_up, std::int64_t width, std::span<Bf16> out,
                   WorkerPool& pool);
// out[i] = table[ids[i]], rows of `width`. Ids must be inside the table.
void embed(std::span<const Bf16> table, std::int64_t width, std::span<const std::int32_t> ids,
           std::span<Bf16> out, WorkerPool& pool);
// First index of the largest logit of each row.
std::vector<std::int32_t> argmax_rows(std::span<const float> logits, std::int64_t vocabulary,
                                      WorkerPool& pool);

// Rotary position embedding in the half-split layout of Llama and Qwen: dimension i and i +
// head_dim / 2 turn by position * base^(-2 i / head_dim). `llama3` rescales low frequencies as
// Llama 3.1 does (Hugging Face rope_type "llama3").
struct RotaryConfig {
  int head_dim = 128;
  double base = 500000;
  bool llama3 = false;
  double factor = 8, low_frequency_factor = 1, high_frequency_factor = 4;
  std::int64_t original_positions = 8192;
};
class RotaryTable {
 public:
  RotaryTable(const RotaryConfig& config, std::int64_t positions);
  // x is [tokens][stride]; turns `heads` heads of every token, starting at `x`.
  void apply(Bf16* x, std::int64_t stride, int heads, std::span<const std::int64_t> positions,
             WorkerPool& pool) const;

 private:
  std::int64_t half_;
  std::vector<float> cosine_, sine_;  // [positions][half]
};

// int8 activations: round to nearest onto +-127, one scale per row (group = 0) or per `group`
// values of a row. Equal to quantize_activations to the bit.
struct Int8Rows {
  std::vector<std::int8_t> values;
  std::vector<float> scales;  // [rows][groups]
};
void quantize_rows(std::span<const Bf16> x, std::int64_t width, std::int64_t group, Int8Rows& out,
                   WorkerPool& pool);

// fp8 activations with the scale kind of a GEMM format: per tensor, per token or per token and 128
// values.
struct Fp8Rows {
  std::vector<Fp8E4m3> values;
  std::vector<float> scales;
};
void quantize_rows_fp8(std::span<const Bf16> x, std::int64_t width, ScaleKind kind, Fp8Rows& out,
                       WorkerPool& pool);

}  // namespace foretoken::kernels
