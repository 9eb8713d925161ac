// Memory of a model: weights, KV cache, activations.
#include <algorithm>

#include "sim/core/error.h"
#include "sim/model/graph_builder.h"

namespace foretoken {
namespace {

constexpr std::int64_t kHalf = 2;   // bytes of a 16-bit value
constexpr std::int64_t kFloat = 4;  // bytes of a 32-bit value

// Scale of one row (output channel) in a format without groups: fp16 beside integers, fp32 beside
// fp8 and fp4, as vLLM's per-channel checkpoints store them.
std::int64_t channel_scale_bytes(const Format& format) {
  if (!format.quantised()) {
    return 0;
  }
  return format.kind == Format::Kind::integer ? kHalf : kFloat;
}

// n rows of k values, each row packed on its own with its scales.
std::int64_t packed_bytes(std::int64_t n, std::int64_t k, const Format& format) {
  const std::int64_t values = ceil_div(k * format.bits, 8);
  const std::int64_t scales = format.group > 0 ? ceil_div(k, format.group) * format.metadata_bytes()
                                               : channel_scale_bytes(format);
  return n * (values + scales);
}

}  // namespace

std::int64_t GraphBuilder::layer_weight_bytes(const LayerPlan& layer) const {
  const std::int64_t hidden = model_.hidden;
  std::int64_t bytes =
      packed_bytes(qkv_width(), hidden, layer.qkv) + packed_bytes(hidden, q_width(), layer.o) +
      packed_bytes(up_width(), hidden, layer.up) + packed_bytes(hidden, intermediate(), layer.down);
  bytes += (model_.post_norms ? 4 : 2) * kHalf * hidden;
  bytes += model_.qkv_bias ? qkv_width() * kHalf : 0;
  bytes += model_.qk_norm ? 2 * kHalf * model_.head_dim : 0;
  return bytes;
}

Bytes GraphBuilder::weight_bytes(int stage) const {
  FT_CHECK(stage >= 0 && stage < stages());
  const StagePlan& plan = stages_[static_cast<std::size_t>(stage)];
  std::int64_t bytes = 0;
  for (int layer = plan.first; layer < plan.end; ++layer) {
    bytes += layer_weight_bytes(layers_[static_cast<std::size_t>(layer)]);
  }
  if (stage == 0) {
    bytes += packed_bytes(vocab(), model_.hidden, embedding_);
  }
  if (stage + 1 == stages()) {
    // Tied embeddings are one matrix where both ends stand on the same GPU in the same format.
    const bool shared = model_.tied_embeddings && stages() == 1 && lm_head_ == embedding_;
    bytes += shared ? 0 : packed_bytes(vocab(), model_.hidden, lm_head_);
    bytes += model_.hidden * kHalf;  // final norm
  }
  return {bytes};
}

Bytes GraphBuilder::weight_bytes() const {
  Bytes largest;
  for (int stage = 0; stage < stages(); ++stage) {
    largest = std::max(largest, weight_bytes(stage));
  }
  return largest;
}

// K and V of every head on this rank. An integer cache has a scale per head and token unless the
// format names a group; fp8 has one scale per tensor, which takes no room.
std::int64_t GraphBuilder::kv_bytes_per_token_and_layer() const {
  const Format& format = precision_.kv_cache;
  const std::int64_t values = ceil_div(static_cast<std::int64_t>(model_.head_dim) * format.bits, 8);
  const std::int64_t groups = format.group > 0 ? ceil_div(model_.head_dim, format.group) : 1;
  return 2 * kv_heads() * (values + groups * format.metadata_bytes());
}

Bytes GraphBuilder::kv_bytes_per_token() const {
  const StagePlan& fullest = stages_.front();  // split_layers makes the earlier stages larger
  return {kv_bytes_per_token_and_layer() * (fullest.end - fullest.first)};
}

Bytes GraphBuilder::activation_bytes(std::int64_t tokens, std::int64_t rows) const {
  const std::int64_t hidden = model_.hidden;
  const std::int64_t qkv = hidden + qkv_width();           // norm's output -> QKV
  const std::int64_t attention = qkv_width() + q_width();  // QKV -> attention's output
  const std::int64_t out = q_width() + hidden;
  const std::int64_t up = hidden + up_width();
  const std::int64_t activate = up_width() + intermediate();
  const std::int64_t down = intermediate() + hidden;
  // A quantised copy of the operator's input lives beside it: at most one byte for each two.
  const std::int64_t copy =
      precision_.activations.quantised() ? std::max({hidden, q_width(), intermediate()}) : 0;
  const std::int64_t layer =
      tokens * ((hidden + std::max({qkv, attention, out, up, activate, down})) * kHalf + copy);
  // Hidden states of all tokens, those of the rows, this rank's logits, all logits, their fp32
  // copy.
  const std::int64_t gathered = parallel_.tensor > 1 ? model_.vocab * kHalf : 0;
  const std::int64_t head = tokens * hidden * kHalf + rows * (hidden * kHalf + vocab() * kHalf +
                                                              gathered + model_.vocab * kFloat);
  return {std::max(layer, head)};
}

std::int64_t GraphBuilder::parameter_count() const {
  const std::int64_t hidden = model_.hidden;
  const std::int64_t dim = model_.head_dim;
  const std::int64_t qkv = (model_.heads + 2 * static_cast<std::int64_t>(model_.kv_heads)) * dim;
  std::int64_t layer = qkv * hidden + hidden * model_.heads * dim;
  layer += (model_.gated_mlp ? 3 : 2) * hidden * model_.intermediate;
  layer += (model_.post_norms ? 4 : 2) * hidden;
  layer += (model_.qkv_bias ? qkv : 0) + (model_.qk_norm ? 2 * dim : 0);
  const std::int64_t tables = (model_.tied_embeddings ? 1 : 2) * model_.vocab * hidden;
  return model_.layers * layer + tables + hidden;
}

}  // namespace foretoken
