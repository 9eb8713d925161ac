#include "kernels/layer/transformer_layer.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"

namespace foretoken::kernels {

void Linear::run(std::span<const Bf16> x, std::span<Bf16> out, CpuGemm& gemm, WorkerPool& pool) {
  const GemmFormat& format = weights_.format;
  const auto m = static_cast<std::int64_t>(x.size()) / weights_.k;
  const GemmDescriptor descriptor{m, weights_.n, weights_.k, format, OutputType::bf16};
  GemmActivations activations{x.data(), nullptr};
  if (format.activations == ActivationFormat::int8) {
    quantize_rows(x, weights_.k, 0, int8_, pool);
    activations = {int8_.values.data(), int8_.scales.data()};
  } else if (format.activations == ActivationFormat::fp8_e4m3) {
    quantize_rows_fp8(x, weights_.k, format.scale, fp8_, pool);
    activations = {fp8_.values.data(), fp8_.scales.data()};
  }
  gemm.run(descriptor, weights_, activations, out.data());
}

TransformerLayer::TransformerLayer(const LayerShape& shape, const LayerWeights& weights,
                                   const GemmFormat& format)
    : shape_(shape),
      qkv_(weights.qkv, shape.qkv_width(), shape.hidden, format),
      o_(weights.o, shape.hidden, shape.attention_width(), format),
      gate_up_(weights.gate_up, 2 * shape.intermediate, shape.hidden, format),
      down_(weights.down, shape.hidden, shape.intermediate, format),
      attention_norm_(weights.attention_norm),
      mlp_norm_(weights.mlp_norm) {}

void TransformerLayer::forward(std::span<Bf16> hidden, const SequenceView& sequence,
                               PagedKvCache& cache, const RotaryTable& rotary, CpuGemm& gemm,
                               WorkerPool& pool) {
  FT_KERNEL_CHECK(static_cast<std::int64_t>(hidden.size()) == sequence.new_tokens * shape_.hidden);
  normed_.resize(hidden.size());
  projected_.resize(hidden.size());
  attention(hidden, sequence, cache, rotary, gemm, pool);
  mlp(hidden, gemm, pool);
}

void TransformerLayer::attention(std::span<Bf16> hidden, const SequenceView& sequence,
                                 PagedKvCache& cache, const RotaryTable& rotary, CpuGemm& gemm,
                                 WorkerPool& pool) {
  const std::int64_t tokens = sequence.new_tokens, width = shape_.qkv_width();
  const std::int64_t q_width = shape_.attention_width();
  const std::int64_t kv_width = std::int64_t{shape_.kv_heads} * shape_.head_dim;
  wide_.resize(static_cast<std::size_t>(tokens * width));
  narrow_.resize(static_cast<std::size_t>(tokens * q_width));
  rms_norm(hidden, attention_norm_, shape_.eps, normed_, pool);
  qkv_.run(normed_, wide_, gemm, pool);

  std::vector<std::int64_t> positions;
  for (std::int64_t token = 0; token < tokens; ++token) {
    positions.push_back(sequence.length - tokens + token);
  }
  rotary.apply(wide_.data(), width, shape_.heads + shape_.kv_heads, positions, pool);
  for (std::int64_t token = 0; token < tokens; ++token) {
    const Bf16* const row = wide_.data() + token * width;
    std::copy(row, row + q_width, narrow_.data() + token * q_width);
    const auto count = static_cast<std::size_t>(kv_width);
    cache.store(sequence.blocks, positions[static_cast<std::size_t>(token)], {row + q_width, count},
                {row + q_width + kv_width, count});
  }

  const AttentionShape shape{shape_.heads, 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)),
                             0};
  wide_.resize(narrow_.size());
  if (tokens == 1) {
    attention_decode(shape, cache, {&sequence, 1}, narrow_.data(), wide_.data(), pool);
  } else {
    attention_prefill(shape, cache, sequence, narrow_.data(), wide_.data(), pool);
  }
  o_.run(wide_, projected_, gemm, pool);
  add_residual(hidden, projected_, pool);
}

void TransformerLayer::mlp(std::span<Bf16> hidden, CpuGemm& gemm, WorkerPool& pool) {
  const auto tokens = static_cast<std::int64_t>(hidden.size()) / shape_.hidden;
  wide_.resize(static_cast<std::size_t>(tokens * 2 * shape_.intermediate));
  narrow_.resize(static_cast<std::size_t>(tokens * shape_.intermediate));
  rms_norm(hidden, mlp_norm_, shape_.eps, normed_, pool);
  gate_up_.run(normed_, wide_, gemm, pool);
  silu_multiply(wide_, shape_.intermediate, narrow_, pool);
  down_.run(narrow_, projected_, gemm, pool);
  add_residual(hidden, projected_, pool);
}

}  // namespace foretoken::kernels
