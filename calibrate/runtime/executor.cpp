#include "calibrate/runtime/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "sim/core/error.h"
#include "sim/model/module_rules.h"

namespace foretoken::runtime {
namespace {

using kernels::Bf16;

constexpr float kNormEpsilon = 1e-5F;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<Bf16> rounded(const std::vector<float>& values) {
  std::vector<Bf16> out;
  out.reserve(values.size());
  // A lambda and not the function itself: to_bf16 must be inlined, so its address cannot be taken.
  std::transform(values.begin(), values.end(), std::back_inserter(out),
                 [](float value) { return kernels::to_bf16(value); });
  return out;
}

kernels::KvFormat cache_format(const Format& format) {
  switch (format.kind) {
    case Format::Kind::bf16:
      return kernels::KvFormat::bf16;
    case Format::Kind::fp8:
      return kernels::KvFormat::fp8_e4m3;
    case Format::Kind::integer:
      if (format.bits == 8) {
        return kernels::KvFormat::int8;
      }
      break;
    default:
      break;
  }
  throw InputError(fmt::format("precision.kv_cache: {} is not executed (try bf16, fp8 or int8)",
                               to_string(format)));
}

kernels::PageBuffer copy_of(const kernels::PageBuffer& buffer) {
  kernels::PageBuffer copy(buffer.size());
  std::copy_n(buffer.as(), buffer.size(), copy.as());
  return copy;
}

kernels::PackedWeights copy_of(const kernels::PackedWeights& weights) {
  kernels::PackedWeights copy;
  copy.format = weights.format;
  copy.n = weights.n;
  copy.k = weights.k;
  copy.blocks = weights.blocks;
  copy.k_tiles = weights.k_tiles;
  copy.tile_bytes = weights.tile_bytes;
  copy.group_tiles = weights.group_tiles;
  copy.data = copy_of(weights.data);
  copy.scales = copy_of(weights.scales);
  copy.integer_scales = copy_of(weights.integer_scales);
  copy.alpha_log2 = weights.alpha_log2;
  copy.k_splits = weights.k_splits;
  copy.groups_per_split = weights.groups_per_split;
  return copy;
}

std::string tensor_name(int layer, std::string_view module) {
  return fmt::format("model.layers.{}.{}.weight", layer, module);
}

}  // namespace

kernels::GemmFormat kernel_format(const Format& weights, const Format& activations) {
  const bool int8 = activations == kInt8;
  std::string name;
  if (weights == kBf16 && activations == kBf16) {
    name = "bf16";
  } else if (weights.kind == Format::Kind::integer && int8 && weights.group == 0) {
    name = fmt::format("w{}a8", weights.bits);
  } else if (weights.kind == Format::Kind::integer && int8) {
    const bool integer = weights.scale == Format::Scale::integer_scale;
    name = fmt::format("w{}a8_g{}_{}", weights.bits, weights.group, integer ? "integer" : "float");
  } else if (weights.kind == Format::Kind::integer && activations == kBf16 && weights.group > 0) {
    name = fmt::format("w{}a16_g{}", weights.bits, weights.group);
  }
  try {
    return kernels::parse_gemm_format(name);
  } catch (const kernels::KernelError&) {
    throw InputError(fmt::format(
        "precision: {} weights with {} activations are not executed (try bf16; int8 or int4 with "
        "activations int8; int4/g128/integer-scale)",
        to_string(weights), to_string(activations)));
  }
}

void Executor::Rows::shape(std::int64_t r, std::int64_t w) {
  rows = r;
  width = w;
  memory.reserve(static_cast<std::size_t>(r * w) * sizeof(Bf16));
}

Executor::Executor(const GraphBuilder& builder, const WeightSource& weights,
                   const ExecutorLimits& limits, kernels::Transport* transport)
    : builder_(builder),
      transport_(transport),
      rotary_({.head_dim = builder.model().head_dim}, limits.positions) {
  check_supported();
  const kernels::KvShape shape{std::max(1, builder.model().kv_heads / ranks()),
                               builder.model().head_dim,
                               cache_format(builder.precision().kv_cache)};
  for (int i = 0; i < builder.model().layers; ++i) {
    layers_.push_back({{}, {}, {}, {}, kernels::PagedKvCache(shape, limits.kv_blocks)});
  }
  load(weights, limits.alike_layers);
}

void Executor::check_supported() const {
  const ModelSpec& model = builder_.model();
  const ParallelSpec& parallel = builder_.parallel();
  const auto refuse = [&](const std::string& what) {
    throw InputError(fmt::format("{}: {} (a Llama without extras is)", model.name, what));
  };
  if (!model.gated_mlp || model.qkv_bias || model.qk_norm || model.post_norms ||
      model.parallel_blocks) {
    refuse("a plain MLP, biases, QK norms, post-norms or parallel blocks are not executed");
  }
  if (parallel.pipeline != 1 || parallel.sequence || parallel.data != 1) {
    refuse("parallel: only tensor is executed");
  }
  if (parallel.tensor != ranks()) {
    refuse(fmt::format("parallel.tensor is {} and there are {} ranks", parallel.tensor, ranks()));
  }
  if (model.vocab % ranks() != 0 || model.kv_heads % ranks() != 0) {
    refuse("the ranks must divide vocabulary and KV heads");
  }
  if (builder_.precision().activation_scales == PrecisionSpec::ActivationScales::fixed) {
    refuse("precision.activation_scales: only dynamic ones are executed");
  }
}

// Tensors stacked by rows.
kernels::PackedWeights Executor::pack(const WeightSource& weights,
                                      const std::vector<std::string>& names,
                                      const std::vector<TensorPart>& parts,
                                      const Format& format) const {
  std::vector<float> values;
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<float> part = weights.read(names[i], parts[i]);
    rows += parts[i].row_count;
    if (values.empty()) {
      values = std::move(part);
    } else {
      values.insert(values.end(), part.begin(), part.end());
    }
  }
  const Format activations = !format.quantised() ? kBf16 : builder_.precision().activations;
  return kernels::pack_from_fp32(values, rows, parts.front().column_count,
                                 kernel_format(format, activations));
}

void Executor::load_layer(const WeightSource& weights, int index) {
  const ModelSpec& model = builder_.model();
  const int r = rank(), n = ranks();
  const std::int64_t hidden = model.hidden;
  const std::int64_t q = std::int64_t{model.heads} * model.head_dim;
  const std::int64_t kv = std::int64_t{model.kv_heads} * model.head_dim;
  const auto name = [&](std::string_view module) { return tensor_name(index, module); };
  const auto format = [&](std::string_view module) {
    return weight_format(builder_.precision(), model, layer_module(index, module));
  };
  const TensorPart q_part = row_share(q, hidden, r, n), kv_part = row_share(kv, hidden, r, n);
  const TensorPart up_part = row_share(model.intermediate, hidden, r, n);
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  layer.qkv =
      pack(weights, {name("self_attn.q_proj"), name("self_attn.k_proj"), name("self_attn.v_proj")},
           {q_part, kv_part, kv_part}, format("self_attn.qkv_proj"));
  layer.o = pack(weights, {name("self_attn.o_proj")}, {column_share(hidden, q, r, n)},
                 format("self_attn.o_proj"));
  layer.up = pack(weights, {name("mlp.gate_proj"), name("mlp.up_proj")}, {up_part, up_part},
                  format(up_module(model)));
  layer.down = pack(weights, {name("mlp.down_proj")},
                    {column_share(hidden, model.intermediate, r, n)}, format("mlp.down_proj"));
}

void Executor::load(const WeightSource& weights, bool alike_layers) {
  const ModelSpec& model = builder_.model();
  for (int i = 0; i < model.layers; ++i) {
    if (i == 0 || !alike_layers) {
      load_layer(weights, i);
    } else {
      Layer& layer = layers_[static_cast<std::size_t>(i)];
      const Layer& first = layers_.front();
      layer.qkv = copy_of(first.qkv);
      layer.o = copy_of(first.o);
      layer.up = copy_of(first.up);
      layer.down = copy_of(first.down);
    }
    for (const auto* name : {"input_layernorm", "post_attention_layernorm"}) {
      norms_.push_back(rounded(weights.read(tensor_name(i, name), whole(1, model.hidden))));
    }
  }
  norms_.push_back(rounded(weights.read("model.norm.weight", whole(1, model.hidden))));
  const TensorPart rows = row_share(model.vocab, model.hidden, rank(), ranks());
  table_ = rounded(weights.read("model.embed_tokens.weight", rows));
  lm_head_ = pack(weights, {model.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"},
                  {rows}, weight_format(builder_.precision(), model, "lm_head"));
}

Executor::Batch Executor::arrange(const StepInput& input) {
  Batch batch;
  const auto add = [&batch](const SequenceStep& sequence) {
    batch.tokens.insert(batch.tokens.end(), sequence.tokens.begin(), sequence.tokens.end());
    for (std::size_t i = 0; i < sequence.tokens.size(); ++i) {
      batch.positions.push_back(sequence.context + static_cast<std::int64_t>(i));
    }
    batch.last_rows.push_back(static_cast<std::int64_t>(batch.tokens.size()) - 1);
    const auto count = static_cast<std::int64_t>(sequence.tokens.size());
    return kernels::SequenceView{sequence.blocks, sequence.context + count, count};
  };
  for (const SequenceStep& sequence : input.prefill) {
    batch.prefill.push_back(add(sequence));
  }
  batch.prefill_rows = static_cast<std::int64_t>(batch.tokens.size());
  for (const SequenceStep& sequence : input.decode) {
    batch.decode.push_back(add(sequence));
  }
  return batch;
}

StepResult Executor::step(const StepInput& input) {
  StepResult result;
  result.graph = builder_.build(input.shape(builder_.model().sliding_window), 0);
  const Batch batch = arrange(input);
  layer_ = norm_ = 0;
  quantised_ = false;
  double before = now_seconds();
  for (const Segment& segment : result.graph.segments) {
    for (int i = 0; i < segment.repeat; ++i) {
      for (const Operator& op : segment.operators) {
        run(op, batch);
        const double after = now_seconds();
        result.seconds.push_back(after - before);
        before = after;
      }
    }
  }
  result.tokens = next_tokens_;
  return result;
}

void Executor::run(const Operator& op, const Batch& batch) {
  if (const auto* gemm = std::get_if<GemmOp>(&op.what)) {
    run_gemm(op.name, *gemm);
  } else if (const auto* attention = std::get_if<AttentionOp>(&op.what)) {
    run_attention(*attention, batch);
  } else if (const auto* collective = std::get_if<CollectiveOp>(&op.what)) {
    run_collective(*collective);
  } else {
    run_elementwise(op.name, batch);
  }
}

void Executor::run_elementwise(const std::string& name, const Batch& batch) {
  if (name == "embed_tokens") {
    embed(batch);
  } else if (name == "input_layernorm") {
    normed_.shape(residual_.rows, residual_.width);
    kernels::rms_norm(residual_.span(), norms_[norm_++], kNormEpsilon, normed_.span(), pool_);
    current_ = &normed_;
  } else if (name == "quantise") {
    kernels::quantize_rows(current_->span(), current_->width, 0, int8_, pool_);
    quantised_ = true;
  } else if (name == "rope") {
    rotate(batch);
  } else if (name == "kv_cache_write") {
    write_cache(batch);
  } else if (name == "add_norm") {
    add_and_norm();
  } else if (name == "silu_mul") {
    narrow_.shape(wide_.rows, wide_.width / 2);
    kernels::silu_multiply(wide_.span(), narrow_.width, narrow_.span(), pool_);
    current_ = &narrow_;
  } else if (name == "select_rows") {
    head_.shape(static_cast<std::int64_t>(batch.last_rows.size()), normed_.width);
    for (std::size_t i = 0; i < batch.last_rows.size(); ++i) {
      const Bf16* const row = normed_.data() + batch.last_rows[i] * normed_.width;
      std::copy_n(row, normed_.width, head_.data() + static_cast<std::int64_t>(i) * head_.width);
    }
    current_ = &head_;
  } else {
    FT_CHECK(name == "sample", "operator {} is not executed", name);
    sample();
  }
}

// Tokens of other ranks' shares of the vocabulary are zero here; the all-reduce brings them.
void Executor::embed(const Batch& batch) {
  const std::int64_t hidden = builder_.model().hidden;
  const auto share = static_cast<std::int64_t>(table_.size()) / hidden;
  residual_.shape(static_cast<std::int64_t>(batch.tokens.size()), hidden);
  const auto bytes = static_cast<std::size_t>(hidden) * sizeof(Bf16);
  Bf16* out = residual_.data();
  for (const std::int32_t token : batch.tokens) {
    const std::int64_t row = token - rank() * share;
    if (row >= 0 && row < share) {
      std::memcpy(out, table_.data() + row * hidden, bytes);
    } else {
      std::fill_n(out, hidden, Bf16{});
    }
    out += hidden;
  }
  current_ = &residual_;
}

void Executor::run_gemm(const std::string& name, const GemmOp& op) {
  const bool head = name == "lm_head";
  Layer& layer = layers_[std::min(layer_, layers_.size() - 1)];
  const bool qkv = name == "qkv_proj", o = name == "o_proj", up = name == "gate_up_proj";
  const kernels::PackedWeights& weights = head  ? lm_head_
                                          : qkv ? layer.qkv
                                          : o   ? layer.o
                                          : up  ? layer.up
                                                : layer.down;
  Rows& out = head ? gathered_ : qkv || up ? wide_ : projected_;
  FT_CHECK(weights.n == op.n && weights.k == op.k && current_->rows == op.m,
           "{}: weights {} x {}, graph {} x {}, {} rows of {}", name, weights.n, weights.k, op.n,
           op.k, current_->rows, op.m);
  out.shape(op.m, op.n);
  const kernels::GemmDescriptor descriptor{op.m, op.n, op.k, weights.format,
                                           kernels::OutputType::bf16};
  kernels::GemmActivations in{current_->data(), nullptr};
  if (quantised_) {
    in = {int8_.values.data(), int8_.scales.data()};
    quantised_ = false;
  }
  gemm_.run(descriptor, weights, in, out.data());
  current_ = &out;
  if (name == "down_proj") {
    ++layer_;
  }
}

// Queries and keys turn in place; queries then stand without the keys between them.
void Executor::rotate(const Batch& batch) {
  const ModelSpec& model = builder_.model();
  const int heads = model.heads / ranks(), kv_heads = model.kv_heads / ranks();
  const std::int64_t q = std::int64_t{heads} * model.head_dim;
  rotary_.apply(wide_.data(), wide_.width, heads + kv_heads, batch.positions, pool_);
  queries_.shape(wide_.rows, q);
  for (std::int64_t row = 0; row < wide_.rows; ++row) {
    std::copy_n(wide_.data() + row * wide_.width, q, queries_.data() + row * q);
  }
}

void Executor::write_cache(const Batch& batch) {
  const ModelSpec& model = builder_.model();
  const auto kv = static_cast<std::size_t>(std::int64_t{model.kv_heads / ranks()} * model.head_dim);
  const std::int64_t q = queries_.width;
  const Bf16* row = wide_.data();
  for (const auto* sequences : {&batch.prefill, &batch.decode}) {
    for (const kernels::SequenceView& sequence : *sequences) {
      for (std::int64_t i = sequence.length - sequence.new_tokens; i < sequence.length; ++i) {
        layers_[layer_].cache.store(sequence.blocks, i, {row + q, kv}, {row + q + kv, kv});
        row += wide_.width;
      }
    }
  }
}

void Executor::run_attention(const AttentionOp& op, const Batch& batch) {
  const std::int64_t width = queries_.width;
  narrow_.shape(queries_.rows, width);
  const kernels::AttentionShape shape{op.heads, 1.0F / std::sqrt(static_cast<float>(op.head_dim)),
                                      op.window};
  const kernels::PagedKvCache& cache = layers_[layer_].cache;
  if (op.decode) {
    const std::int64_t at = batch.prefill_rows * width;
    kernels::attention_decode(shape, cache, batch.decode, queries_.data() + at, narrow_.data() + at,
                              pool_);
  } else {
    std::int64_t at = 0;
    for (const kernels::SequenceView& sequence : batch.prefill) {
      kernels::attention_prefill(shape, cache, sequence, queries_.data() + at, narrow_.data() + at,
                                 pool_);
      at += sequence.new_tokens * width;
    }
  }
  current_ = &narrow_;
}

void Executor::add_and_norm() {
  kernels::add_residual(residual_.span(), current_->span(), pool_);
  normed_.shape(residual_.rows, residual_.width);
  kernels::rms_norm(residual_.span(), norms_[norm_++], kNormEpsilon, normed_.span(), pool_);
  current_ = &normed_;
}

kernels::Collective& Executor::collective(const CollectiveOp& op) {
  const std::string kind = fmt::format(
      "{} {}", kCollectiveKindNames[static_cast<std::size_t>(op.kind)], to_string(op.wire));
  auto& prepared = collectives_[{kind, op.values}];
  if (!prepared) {
    kernels::CollectiveDesc desc;
    desc.operation = op.kind == CollectiveKind::all_reduce ? kernels::Operation::all_reduce
                                                           : kernels::Operation::all_gather;
    desc.type = kernels::ValueType::bf16;
    desc.values = static_cast<std::size_t>(op.values);
    desc.first = desc.second = kernels::parse_wire_format(to_string(op.wire));
    prepared = std::make_unique<kernels::Collective>(*transport_, desc);
    const std::size_t share = desc.values / static_cast<std::size_t>(ranks());
    FT_CHECK(op.kind == CollectiveKind::all_reduce || prepared->slice_begin(1) == share,
             "{} values do not split over the ranks", op.values);
  }
  return *prepared;
}

void Executor::run_collective(const CollectiveOp& op) {
  FT_CHECK(op.kind == CollectiveKind::all_reduce || op.kind == CollectiveKind::all_gather);
  if (op.kind == CollectiveKind::all_reduce) {
    collective(op).run(current_->data(), current_->data());
    return;
  }
  // Logits: rank by rank in one buffer.
  const std::int64_t rows = gathered_.rows;
  head_.shape(rows, builder_.model().vocab);
  collective(op).run(gathered_.data(), head_.data());
  std::swap(gathered_, head_);
  current_ = &gathered_;
}

// Widens the logits, row by row from every rank's share, and takes the largest.
void Executor::sample() {
  const std::int64_t vocab = builder_.model().vocab, share = vocab / ranks();
  const std::int64_t rows = gathered_.rows;
  logit_count_ = static_cast<std::size_t>(rows * vocab);
  logits_.reserve(logit_count_ * sizeof(float));
  for (int part = 0; part < ranks(); ++part) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const Bf16* const from = gathered_.data() + (part * rows + row) * share;
      float* const to = logits_.as<float>() + row * vocab + part * share;
      for (std::int64_t i = 0; i < share; ++i) {
        to[i] = kernels::to_float(from[i]);
      }
    }
  }
  next_tokens_ = kernels::argmax_rows(logits(), vocab, pool_);
}

}  // namespace foretoken::runtime
