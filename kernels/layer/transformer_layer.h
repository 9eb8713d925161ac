// One dense transformer layer of the Llama family, run for real in any GEMM and KV format:
//
//   x += o_proj(attention(rope(qkv_proj(rms_norm(x)))))
//   x += down_proj(silu(gate) * up),  [gate, up] = gate_up_proj(rms_norm(x))
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gemm/cpu_gemm.h"
#include "kernels/layer/attention.h"
#include "kernels/layer/elementwise.h"

namespace foretoken::kernels {

struct LayerShape {
  std::int64_t hidden = 4096, intermediate = 14336;
  int heads = 32, kv_heads = 8, head_dim = 128;
  float eps = 1e-5F;

  std::int64_t qkv_width() const { return std::int64_t{heads + 2 * kv_heads} * head_dim; }
  std::int64_t attention_width() const { return std::int64_t{heads} * head_dim; }
};

inline constexpr LayerShape kLlama31_8b{};

// Row-major [out][in], as checkpoints store them; qkv and gate_up are stacked.
struct LayerWeights {
  std::vector<float> qkv, o, gate_up, down;
  std::vector<Bf16> attention_norm, mlp_norm;
};

// A GEMM with its activations' quantisation: bf16 in, bf16 out.
class Linear {
 public:
  Linear(std::span<const float> weights, std::int64_t n, std::int64_t k, const GemmFormat& format)
      : weights_(pack_from_fp32(weights, n, k, format)) {}
  void run(std::span<const Bf16> x, std::span<Bf16> out, CpuGemm& gemm, WorkerPool& pool);

 private:
  PackedWeights weights_;
  Int8Rows int8_;
  Fp8Rows fp8_;
};

class TransformerLayer {
 public:
  TransformerLayer(const LayerShape& shape, const LayerWeights& weights, const GemmFormat& format);

  // Adds one chunk of a sequence, hidden [sequence.new_tokens][hidden] in place. Stores the chunk's
  // keys and values in the cache first; `sequence` counts them already.
  void forward(std::span<Bf16> hidden, const SequenceView& sequence, PagedKvCache& cache,
               const RotaryTable& rotary, CpuGemm& gemm, WorkerPool& pool);

 private:
  void attention(std::span<Bf16> hidden, const SequenceView& sequence, PagedKvCache& cache,
                 const RotaryTable& rotary, CpuGemm& gemm, WorkerPool& pool);
  void mlp(std::span<Bf16> hidden, CpuGemm& gemm, WorkerPool& pool);

  LayerShape shape_;
  Linear qkv_, o_, gate_up_, down_;
  std::vector<Bf16> attention_norm_, mlp_norm_;
  std::vector<Bf16> normed_, wide_, narrow_, projected_;
};

}  // namespace foretoken::kernels
