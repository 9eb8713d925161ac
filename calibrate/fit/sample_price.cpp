#include "calibrate/fit/sample_price.h"

#include <optional>
#include <string_view>

#include "sim/core/error.h"
#include "sim/cost/gemm_format.h"

namespace foretoken::calibrate {
namespace {

constexpr std::int64_t kValueBytes = 2;  // bf16

}  // namespace

AttentionOp attention_op(const Sample& sample, bool decode, const Format& kv_cache) {
  AttentionOp op;
  op.heads = static_cast<int>(sample.shape[0]);
  op.kv_heads = static_cast<int>(sample.shape[1]);
  op.head_dim = static_cast<int>(sample.shape[2]);
  op.window = sample.shape[3];
  op.kv_cache = kv_cache;
  op.decode = decode;
  if (decode) {
    op.sequences = sample.shape[4];
    op.kv_tokens = sample.shape[4] * sample.shape[5];
  } else {
    op.chunks.assign(static_cast<std::size_t>(sample.shape[4]), {sample.shape[5], 0});
  }
  return op;
}

namespace {

SamplePrice gemm_price(const std::string& format) {
  const auto formats = parse_gemm_format_name(format);
  FT_CHECK(formats.has_value(), "GEMM format {}", format);
  return [formats](const CostModel& model, const Sample& sample) {
    GemmOp op;
    op.m = sample.shape[0];
    op.n = sample.shape[1];
    op.k = sample.shape[2];
    op.weights = formats->weights;
    op.activations = formats->activations;
    return model.gemm(op);
  };
}

SamplePrice attention_price(const std::string& format, bool decode) {
  const Format kv_cache = parse_format(format, FormatRole::kv_cache);
  return [kv_cache, decode](const CostModel& model, const Sample& sample) {
    return model.attention(attention_op(sample, decode, kv_cache));
  };
}

SamplePrice codec_price(const std::string& wire, CodecPhase phase) {
  const Format format = parse_format(wire, FormatRole::wire);
  return [format, phase](const CostModel& model, const Sample& sample) {
    return *model.codec(phase, sample.shape[0], format);
  };
}

SamplePrice all_reduce_price(const std::string& wire, LinkClass link) {
  const Format format = parse_format(wire, FormatRole::wire);
  return [format, link](const CostModel& model, const Sample& sample) {
    return *model.all_reduce(static_cast<int>(sample.shape[0]), link, sample.shape[1] / kValueBytes,
                             format);
  };
}

}  // namespace

SamplePrice sample_price(const std::string& table) {
  const auto rest = [&](std::string_view prefix) -> std::optional<std::string> {
    return table.starts_with(prefix) ? std::optional(table.substr(prefix.size())) : std::nullopt;
  };
  if (const auto format = rest("gemm.")) {
    return gemm_price(*format);
  }
  if (const auto format = rest("attention.prefill.")) {
    return attention_price(*format, false);
  }
  if (const auto format = rest("attention.decode.")) {
    return attention_price(*format, true);
  }
  if (const auto name = rest("elementwise.")) {
    return [name](const CostModel& model, const Sample& sample) {
      return model.price(
          {*name, OpFamily::elementwise, DependsOn::tokens, ElementwiseOp{sample.shape[0], 0}});
    };
  }
  for (const CodecPhase phase :
       {CodecPhase::quantise, CodecPhase::reduce, CodecPhase::dequantise}) {
    const auto name = kCodecPhaseNames[static_cast<std::size_t>(phase)];
    if (const auto wire = rest("codec." + std::string(name) + ".")) {
      return codec_price(*wire, phase);
    }
  }
  if (const auto wire = rest("all_reduce.")) {
    return all_reduce_price(*wire, LinkClass::nvlink);
  }
  if (const auto wire = rest("tcp_all_reduce.")) {
    return all_reduce_price(*wire, LinkClass::network);
  }
  if (table == "host.decode" || table == "host.prefill") {
    const bool prefill = table == "host.prefill";
    return [prefill](const CostModel& model, const Sample& sample) {
      return model.host(prefill, sample.shape[0]);
    };
  }
  return {};
}

}  // namespace foretoken::calibrate
