#include "sim/model/graph_builder.h"

#include <cmath>
#include <utility>

#include "sim/core/error.h"
#include "sim/model/module_rules.h"

namespace foretoken {
namespace {

constexpr std::int64_t kHalf = 2;   // bytes of a 16-bit value
constexpr std::int64_t kFloat = 4;  // bytes of a 32-bit value
constexpr std::int64_t kIndex = 8;  // bytes of a position, a cache slot or a sampled token
constexpr std::int64_t kTokenId = 4;
constexpr std::size_t kOperatorsPerLayer = 22;  // at most: what a layer reserves room for

Operator gemm(std::string name, const GemmOp& op, DependsOn depends = DependsOn::tokens) {
  return {std::move(name), OpFamily::gemm, depends, op};
}

Operator elementwise(std::string name, std::int64_t bytes_read, std::int64_t bytes_written,
                     DependsOn depends = DependsOn::tokens) {
  return {std::move(name), OpFamily::elementwise, depends,
          ElementwiseOp{bytes_read, bytes_written}};
}

Operator collective(CollectiveKind kind, std::int64_t values, const Format& wire,
                    DependsOn depends = DependsOn::tokens) {
  const bool send = kind == CollectiveKind::send_recv;
  return {std::string(kCollectiveKindNames[static_cast<std::size_t>(kind)]),
          send ? OpFamily::send_recv : OpFamily::collective, depends,
          CollectiveOp{kind, values, wire}};
}

Operator attention(std::string name, AttentionOp op) {
  const OpFamily family = op.decode ? OpFamily::attention_decode : OpFamily::attention_prefill;
  return {std::move(name), family, DependsOn::attention, std::move(op)};
}

// RMSNorm of rows of 16-bit values; the weight is read once.
Operator norm(std::string name, std::int64_t rows, std::int64_t width) {
  return elementwise(std::move(name), (rows * width + width) * kHalf, rows * width * kHalf);
}

// residual += x; out = norm(residual): reads both, writes both.
Operator add_norm(std::int64_t rows, std::int64_t width) {
  return elementwise("add_norm", (2 * rows * width + width) * kHalf, 2 * rows * width * kHalf);
}

void check_shape(const ModelSpec& model) {
  const bool sane = model.layers > 0 && model.hidden > 0 && model.heads > 0 && model.kv_heads > 0 &&
                    model.head_dim > 0 && model.intermediate > 0 && model.vocab > 0;
  FT_CHECK(sane, "the reader lets no such shape of {} through", model.name);
}

[[noreturn]] void refuse(const ParallelSpec& parallel, const char* key,
                         const std::string& message) {
  throw InputError(parallel.mark, std::string("parallel.") + key, message);
}

void check_supported(const ModelSpec& model, const SourceMark& mark) {
  if (model.is_mla()) {
    throw InputError(mark, "model",
                     fmt::format("\"{}\" uses multi-head latent attention: not simulated yet "
                                 "(dense models with plain attention are)",
                                 model.name));
  }
  if (model.is_moe()) {
    throw InputError(
        mark, "model",
        fmt::format("\"{}\" is a mixture of experts: not simulated yet (dense models are)",
                    model.name));
  }
}

void check_tensor(const ModelSpec& model, const ParallelSpec& parallel) {
  const int ranks = parallel.tensor;
  if (ranks < 1 || model.heads % ranks != 0) {
    refuse(parallel, "tensor",
           fmt::format("{} ranks do not divide the {} attention heads of {} (try a divisor of {})",
                       ranks, model.heads, model.name, model.heads));
  }
  if (model.kv_heads % ranks != 0 && ranks % model.kv_heads != 0) {
    refuse(parallel, "tensor",
           fmt::format("{} KV heads of {} neither split over nor replicate onto {} ranks",
                       model.kv_heads, model.name, ranks));
  }
  if (model.intermediate % ranks != 0) {
    refuse(parallel, "tensor",
           fmt::format("{} ranks do not divide the MLP width {} of {}", ranks, model.intermediate,
                       model.name));
  }
}

void check_layout(const ModelSpec& model, const ParallelSpec& parallel) {
  check_tensor(model, parallel);
  if (parallel.pipeline < 1 || parallel.pipeline > model.layers) {
    refuse(parallel, "pipeline",
           fmt::format("{} stages for the {} layers of {} (try 1..{})", parallel.pipeline,
                       model.layers, model.name, model.layers));
  }
  if (parallel.expert > 1) {
    refuse(parallel, "expert", fmt::format("{} has no experts (try 1)", model.name));
  }
  if (parallel.attention == ParallelSpec::Attention::data_parallel) {
    refuse(parallel, "attention",
           "data-parallel attention is not simulated yet for dense models (try tensor)");
  }
}

// An activation format without a quantised weight to meet would be ignored without a word.
void check_activations(const PrecisionSpec& precision, const std::vector<LayerPlan>& layers) {
  if (!precision.activations.quantised()) {
    return;
  }
  for (const LayerPlan& layer : layers) {
    if (layer.qkv.quantised() || layer.o.quantised() || layer.up.quantised() ||
        layer.down.quantised()) {
      return;
    }
  }
  throw InputError(precision.mark, "precision.activations",
                   fmt::format("{} needs quantised weights, and all weights are 16 bits or wider "
                               "(set precision.weights, or activations: bf16)",
                               to_string(precision.activations)));
}

std::string run_name(const LayerRun& run) {
  const int last = run.first + run.period * run.repeat - 1;
  if (last == run.first) {
    return fmt::format("layer {}", run.first);
  }
  return fmt::format("layers {}-{}", run.first, last);
}

}  // namespace

GraphBuilder::GraphBuilder(ModelSpec model, PrecisionSpec precision, ParallelSpec parallel,
                           const SourceMark& model_mark)
    : model_(std::move(model)), precision_(std::move(precision)), parallel_(std::move(parallel)) {
  check_shape(model_);
  check_supported(model_, model_mark);
  check_layout(model_, parallel_);
  check_rules(precision_, model_);
  layers_ = plan_layers(model_, precision_, parallel_.pipeline);
  check_activations(precision_, layers_);
  stages_ = plan_stages(layers_, parallel_.pipeline);
  embedding_ = weight_format(precision_, model_, "embed_tokens");
  lm_head_ = weight_format(precision_, model_, "lm_head");
}

std::int64_t GraphBuilder::q_width() const {
  return static_cast<std::int64_t>(model_.heads / parallel_.tensor) * model_.head_dim;
}

std::int64_t GraphBuilder::kv_heads() const { return ceil_div(model_.kv_heads, parallel_.tensor); }

std::int64_t GraphBuilder::kv_width() const { return kv_heads() * model_.head_dim; }

std::int64_t GraphBuilder::intermediate() const { return model_.intermediate / parallel_.tensor; }

std::int64_t GraphBuilder::vocab() const { return ceil_div(model_.vocab, parallel_.tensor); }

Format GraphBuilder::activations_for(const Format& weights) const {
  const bool wide = !weights.quantised() && precision_.activations.quantised();
  return wide ? kBf16 : precision_.activations;
}

StepGraph GraphBuilder::build(const BatchShape& batch, int stage) const {
  FT_CHECK(stage >= 0 && stage < stages());
  FT_CHECK(batch.tokens() > 0, "an empty batch has no step");
  StepGraph graph;
  graph.segments.push_back(build_input(batch, stage));
  for (const LayerRun& run : stages_[static_cast<std::size_t>(stage)].runs) {
    graph.segments.push_back(build_layers(batch, run));
  }
  if (stage + 1 < stages()) {
    const Operator send =
        collective(CollectiveKind::send_recv, scattered(batch.tokens()) * model_.hidden, kBf16);
    graph.segments.push_back({"send", {send}, 1});
  } else if (batch.rows > 0) {
    graph.segments.push_back(build_head(batch));
  }
  return graph;
}

// Each rank looks every token up and zeroes those outside its share of the vocabulary.
Segment GraphBuilder::build_input(const BatchShape& batch, int stage) const {
  const std::int64_t tokens = batch.tokens();
  Segment segment{stage == 0 ? "embedding" : "input", {}, 1};
  if (stage == 0) {
    const auto row = static_cast<std::int64_t>(
        std::ceil(static_cast<double>(model_.hidden) * embedding_.bytes_per_value()));
    segment.operators.push_back(
        elementwise("embed_tokens", tokens * (row + kTokenId), tokens * model_.hidden * kHalf));
    append_reduce(segment.operators, tokens);
  }
  segment.operators.push_back(norm("input_layernorm", scattered(tokens), model_.hidden));
  append_gather(segment.operators, tokens);
  return segment;
}

Segment GraphBuilder::build_layers(const BatchShape& batch, const LayerRun& run) const {
  Segment segment{run_name(run), {}, run.repeat};
  const auto first = static_cast<std::size_t>(run.first);
  const auto period = static_cast<std::size_t>(run.period);
  segment.operators.reserve(kOperatorsPerLayer * period);
  for (std::size_t i = first; i < first + period; ++i) {
    const LayerPlan& layer = layers_[i];
    append_qkv(segment.operators, batch.tokens(), layer);
    append_attention(segment.operators, batch, layer.windowed);
    append_output(segment.operators, batch.tokens(), layer);
    append_mlp(segment.operators, batch.tokens(), layer);
  }
  return segment;
}

// The sum over the tensor ranks of tokens x hidden values: all of it on every rank, or a share.
void GraphBuilder::append_reduce(std::vector<Operator>& out, std::int64_t tokens) const {
  if (parallel_.tensor == 1) {
    return;
  }
  if (parallel_.sequence) {
    out.push_back(collective(CollectiveKind::reduce_scatter,
                             scattered(tokens) * parallel_.tensor * model_.hidden,
                             precision_.all_reduce));
  } else {
    out.push_back(
        collective(CollectiveKind::all_reduce, tokens * model_.hidden, precision_.all_reduce));
  }
}

void GraphBuilder::append_gather(std::vector<Operator>& out, std::int64_t tokens) const {
  if (parallel_.sequence && parallel_.tensor > 1) {
    out.push_back(collective(CollectiveKind::all_gather,
                             scattered(tokens) * parallel_.tensor * model_.hidden,
                             precision_.all_reduce));
  }
}

// Dynamic quantisation of rows x width 16-bit values, one fp32 scale a row or a group. With static
// scales the operator before has written the narrow format.
void GraphBuilder::append_quantise(std::vector<Operator>& out, std::int64_t rows,
                                   std::int64_t width, const Format& format,
                                   DependsOn depends) const {
  if (!format.quantised() || static_scales()) {
    return;
  }
  const std::int64_t groups = format.group > 0 ? ceil_div(width, format.group) : 1;
  const std::int64_t row = ceil_div(width * format.bits, 8) + groups * kFloat;
  out.push_back(elementwise("quantise", rows * width * kHalf, rows * row, depends));
}

void GraphBuilder::append_qkv(std::vector<Operator>& out, std::int64_t tokens,
                              const LayerPlan& layer) const {
  const std::int64_t head_row = std::int64_t{model_.head_dim} * kHalf;
  const std::int64_t rotated = tokens * (q_width() + kv_width()) * kHalf;
  const Format input = activations_for(layer.qkv);
  append_quantise(out, tokens, model_.hidden, input);
  out.push_back(gemm(
      "qkv_proj", {tokens, qkv_width(), model_.hidden, layer.qkv, input, kBf16, static_scales()}));
  if (model_.qk_norm) {
    out.push_back(elementwise("qk_norm", rotated + 2 * head_row, rotated));
  }
  // Cosines and sines: head_dim values of a table row per token.
  out.push_back(elementwise("rope", rotated + tokens * (head_row + kIndex), rotated));
  out.push_back(elementwise("kv_cache_write", tokens * (2 * kv_width() * kHalf + kIndex),
                            tokens * kv_bytes_per_token_and_layer()));
}

void GraphBuilder::append_attention(std::vector<Operator>& out, const BatchShape& batch,
                                    bool windowed) const {
  AttentionOp op;
  op.heads = model_.heads / parallel_.tensor;
  op.kv_heads = static_cast<int>(kv_heads());
  op.head_dim = model_.head_dim;
  op.window = windowed ? model_.sliding_window : 0;
  op.kv_cache = precision_.kv_cache;
  if (!batch.prefill.empty()) {
    AttentionOp prefill = op;
    prefill.chunks = batch.prefill;
    out.push_back(attention("attn_prefill", std::move(prefill)));
  }
  if (batch.decode_sequences > 0) {
    op.decode = true;
    op.chunks = batch.prefill;
    op.sequences = batch.decode_sequences;
    op.kv_tokens = windowed ? batch.decode_kv_tokens_windowed : batch.decode_kv_tokens;
    out.push_back(attention("attn_decode", std::move(op)));
  }
}

void GraphBuilder::append_output(std::vector<Operator>& out, std::int64_t tokens,
                                 const LayerPlan& layer) const {
  const std::int64_t hidden = model_.hidden;
  const Format input = activations_for(layer.o);
  append_quantise(out, tokens, q_width(), input);
  out.push_back(
      gemm("o_proj", {tokens, hidden, q_width(), layer.o, input, kBf16, static_scales()}));
  if (model_.parallel_blocks) {  // its partial sums join the MLP's before their one all-reduce
    return;
  }
  append_reduce(out, tokens);
  if (model_.post_norms) {
    out.push_back(norm("post_attn_norm", scattered(tokens), hidden));
  }
  out.push_back(add_norm(scattered(tokens), hidden));
  append_gather(out, tokens);
}

void GraphBuilder::append_mlp(std::vector<Operator>& out, std::int64_t tokens,
                              const LayerPlan& layer) const {
  const std::int64_t hidden = model_.hidden;
  const Format up_input = activations_for(layer.up);
  append_quantise(out, tokens, hidden, up_input);
  out.push_back(gemm(model_.gated_mlp ? "gate_up_proj" : "up_proj",
                     {tokens, up_width(), hidden, layer.up, up_input, kBf16, static_scales()}));
  out.push_back(elementwise(model_.gated_mlp ? "silu_mul" : "activation",
                            tokens * up_width() * kHalf, tokens * intermediate() * kHalf));
  const Format down_input = activations_for(layer.down);
  append_quantise(out, tokens, intermediate(), down_input);
  out.push_back(gemm("down_proj", {tokens, hidden, intermediate(), layer.down, down_input, kBf16,
                                   static_scales()}));
  append_reduce(out, tokens);
  const std::int64_t rows = scattered(tokens);
  if (model_.post_norms) {
    out.push_back(norm("post_mlp_norm", rows, hidden));
  }
  if (layer.ends_stage) {
    out.push_back(elementwise("residual_add", 2 * rows * hidden * kHalf, rows * hidden * kHalf));
  } else {
    out.push_back(add_norm(rows, hidden));
    append_gather(out, tokens);
  }
}

// The sampler converts the logits to fp32 and takes the largest; top-p and penalties are not here.
Segment GraphBuilder::build_head(const BatchShape& batch) const {
  const std::int64_t rows = batch.rows;
  const std::int64_t row = model_.hidden * kHalf;
  Segment segment{"head", {}, 1};
  std::vector<Operator>& out = segment.operators;
  out.push_back(elementwise("select_rows", rows * (row + kIndex), rows * row, DependsOn::rows));
  const Format input = activations_for(lm_head_);
  append_quantise(out, rows, model_.hidden, input, DependsOn::rows);
  out.push_back(gemm("lm_head",
                     {rows, vocab(), model_.hidden, lm_head_, input, kBf16, static_scales()},
                     DependsOn::rows));
  if (parallel_.tensor > 1) {
    out.push_back(collective(CollectiveKind::all_gather, rows * vocab() * parallel_.tensor, kBf16,
                             DependsOn::rows));
  }
  out.push_back(elementwise("sample", rows * model_.vocab * (kHalf + kFloat),
                            rows * (model_.vocab * kFloat + kIndex), DependsOn::rows));
  return segment;
}

}  // namespace foretoken
