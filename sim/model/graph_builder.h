// Builds the operator graph of a dense decoder (MHA, GQA; gated or plain MLP; sliding window; QK
// norm) under tensor and pipeline parallelism, and answers how much memory the model takes.
//
// Tensor parallelism splits QKV and gate/up by columns and O and down by rows, with an all-reduce
// of tokens x hidden after each (Megatron-LM, arXiv 1909.08053). KV heads are replicated when there
// are fewer of them than ranks. The vocabulary is split over the ranks: an all-reduce follows the
// embedding and an all-gather the logits, as in vLLM v1.
//
// One operator per kernel that vLLM launches. What it fuses is one operator here: residual add and
// norm, rotary embedding of Q and K, SiLU and multiply. An activation is quantised by an operator
// of its own before each GEMM whose weights are quantised, unless the checkpoint holds static
// scales; a GEMM with 16-bit weights runs in 16 bits.
//
//   embedding        embed_tokens, [all_reduce], input_layernorm   (later stages: input_layernorm)
//   layers I-J       [quantise], qkv_proj, [qk_norm], rope, kv_cache_write, [attn_prefill],
//                    [attn_decode], [quantise], o_proj, [all_reduce], [post_attn_norm],
//                    add_norm, [quantise], gate_up_proj, silu_mul, [quantise], down_proj,
//                    [all_reduce], [post_mlp_norm], add_norm
// With sequence parallelism an all-reduce is a reduce_scatter, the norms up to the next all_gather
// work on a rank's share of the tokens, and what a stage sends is that share:
//   [reduce_scatter], [post_attn_norm], add_norm, [all_gather]
//
//   head             select_rows, [quantise], lm_head, [all_gather], sample   (only when rows > 0)
//   send             send_recv of tokens x hidden                     (all stages but the last)
//
// The first norm of a stage has no residual to add, so it stands before the layers, and each layer
// ends with the norm of the next one (after the last: the final norm, over all tokens, as in vLLM).
// The last layer of a stage that sends on ends in residual_add instead, and stands in a segment of
// its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/units.h"
#include "sim/model/layer_plan.h"
#include "sim/model/operator.h"
#include "sim/spec/model.h"
#include "sim/spec/scenario.h"

namespace foretoken {

class GraphBuilder {
 public:
  // Throws InputError when the model cannot be laid out so: a degree that does not divide the
  // heads, more stages than layers, a precision rule that matches nothing, MoE or MLA (not built
  // yet).
  // `model_mark`: where the user named the model, for such messages.
  GraphBuilder(ModelSpec model, PrecisionSpec precision, ParallelSpec parallel,
               const SourceMark& model_mark = {});

  int stages() const { return parallel_.pipeline; }
  const ModelSpec& model() const { return model_; }
  const PrecisionSpec& precision() const { return precision_; }
  const ParallelSpec& parallel() const { return parallel_; }

  // The graph of one stage. A stage that is not the last ends in a send to the next.
  // REQUIRES: batch.tokens() > 0.
  StepGraph build(const BatchShape& batch, int stage) const;

  // Bytes per GPU, packed with scales; the largest stage counts.
  Bytes weight_bytes(int stage) const;
  Bytes weight_bytes() const;
  // Bytes of KV cache per token on one GPU of the fullest stage, scales included. Layers with a
  // window count in full: blocks are taken for all layers alike.
  Bytes kv_bytes_per_token() const;
  // Peak of live activations for a step of `tokens` tokens and `rows` logits: the residual stream,
  // and the largest sum of inputs and outputs of any one operator; or the logits with their fp32
  // copy.
  Bytes activation_bytes(std::int64_t tokens, std::int64_t rows) const;
  // Parameters of the whole model; tied embeddings count once.
  std::int64_t parameter_count() const;

 private:
  // Per rank.
  std::int64_t q_width() const;   // query heads x head_dim
  std::int64_t kv_heads() const;  // at least 1: replicated when there are fewer than ranks
  std::int64_t kv_width() const;  // KV heads x head_dim
  std::int64_t qkv_width() const { return q_width() + 2 * kv_width(); }
  std::int64_t intermediate() const;
  std::int64_t up_width() const { return (model_.gated_mlp ? 2 : 1) * intermediate(); }
  std::int64_t vocab() const;
  std::int64_t kv_bytes_per_token_and_layer() const;
  Format activations_for(const Format& weights) const;
  bool static_scales() const {
    return precision_.activation_scales == PrecisionSpec::ActivationScales::fixed;
  }

  Segment build_input(const BatchShape& batch, int stage) const;
  Segment build_layers(const BatchShape& batch, const LayerRun& run) const;
  Segment build_head(const BatchShape& batch) const;
  // Tokens of a rank between reduce_scatter and all_gather; all of them without.
  std::int64_t scattered(std::int64_t tokens) const {
    return parallel_.sequence ? ceil_div(tokens, parallel_.tensor) : tokens;
  }
  void append_reduce(std::vector<Operator>& out, std::int64_t tokens) const;
  void append_gather(std::vector<Operator>& out, std::int64_t tokens) const;
  void append_quantise(std::vector<Operator>& out, std::int64_t rows, std::int64_t width,
                       const Format& format, DependsOn depends = DependsOn::tokens) const;
  void append_qkv(std::vector<Operator>& out, std::int64_t tokens, const LayerPlan& layer) const;
  void append_attention(std::vector<Operator>& out, const BatchShape& batch, bool windowed) const;
  void append_output(std::vector<Operator>& out, std::int64_t tokens, const LayerPlan& layer) const;
  void append_mlp(std::vector<Operator>& out, std::int64_t tokens, const LayerPlan& layer) const;

  std::int64_t layer_weight_bytes(const LayerPlan& layer) const;

  ModelSpec model_;
  PrecisionSpec precision_;
  ParallelSpec parallel_;
  std::vector<LayerPlan> layers_;
  std::vector<StagePlan> stages_;
  Format embedding_ = kBf16;
  Format lm_head_ = kBf16;
};

}  // namespace foretoken
