#include "sim/cost/attention_roofline.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

constexpr double kTile = 128;  // queries of one prefill tile
// A decode tile holds up to this many query heads at the price of all of them.
constexpr double kDecodeTileHeads = 64;

double visible(const AttentionCall& call) {
  return call.window > 0 ? std::min(call.window, call.tokens) : call.tokens;
}

// How steeply reads leave the cache as the data outgrows it.
double from_memory(double bytes, double cache) {
  const double ratio = cache / bytes;
  const double cubed = ratio * ratio * ratio;
  return 1 / (1 + cubed * cubed);
}

}  // namespace

AttentionCall attention_call(const AttentionOp& op) {
  AttentionCall call;
  call.heads = op.heads;
  call.kv_heads = op.kv_heads;
  call.score_dim = call.value_dim = op.head_dim;
  call.kv_bytes = 2.0 * op.kv_heads * op.head_dim * op.kv_cache.bytes_per_value();
  call.window = static_cast<double>(op.window);
  if (op.decode) {
    call.batch = static_cast<double>(op.sequences);
    call.tokens = static_cast<double>(op.kv_tokens) / call.batch;
    return call;
  }
  FT_CHECK(!op.chunks.empty());
  call.batch = static_cast<double>(op.chunks.size());
  for (const PrefillChunk& chunk : op.chunks) {
    call.tokens += static_cast<double>(chunk.new_tokens) / call.batch;
  }
  return call;
}

double PrefillRoofline::seconds(const AttentionCall& call) const {
  const double cut = visible(call);
  const double pairs = cut * (cut + 1) / 2 + (call.tokens - cut) * cut;
  const double per_pair = 2 * (call.score_dim + call.value_dim);
  const double whole = call.heads * per_pair * call.batch *
                       (pairs + kTile / 2 * std::min(call.tokens, kTile)) / peak;
  const double one_tile = per_pair * kTile * cut / peak * sms;
  const double rows = call.tokens * call.heads * (call.score_dim + call.value_dim) * kBytesInMemory;
  const double memory = call.batch * (rows + call.tokens * call.kv_bytes) / bandwidth;
  const double compute = std::max(whole, one_tile);
  return t0 + std::sqrt(compute * compute + memory * memory) + call.batch * per_sequence;
}

double DecodeRoofline::seconds(const AttentionCall& call) const {
  const double cut = visible(call);
  const double rows = call.heads * (call.score_dim + call.value_dim) * kBytesInMemory;
  const double bytes = call.batch * (cut * call.kv_bytes + rows);
  const double far = from_memory(bytes, cache);
  const double memory = bytes * (far / bandwidth + (1 - far) / cached_bandwidth);
  const bool split = call.heads > call.kv_heads;
  const double tiles =
      std::max(call.batch * call.kv_heads / sms, 1.0) * (per_tile + (split ? 0 : per_token * cut)) +
      std::max(call.batch * call.heads / sms, 1.0) * per_head;
  const double group = std::max(call.heads / call.kv_heads, kDecodeTileHeads);
  const double compute =
      2 * (call.score_dim + call.value_dim) * call.batch * call.kv_heads * group * cut / peak;
  return t0 + std::log2(1 + cut / kTile) * combine +
         std::sqrt(memory * memory + tiles * tiles + compute * compute);
}

std::array<double, kPrefillAxes> prefill_axes(const AttentionCall& call) {
  return {std::log2(call.tokens),
          std::log2(call.batch * call.heads),
          std::log2(call.heads / call.kv_heads),
          std::log2(call.score_dim),
          call.window > 0 ? 1.0 : 0.0,
          std::log2(call.batch)};
}

std::array<double, kDecodeAxes> decode_axes(const AttentionCall& call) {
  const double beyond = call.window > 0 ? std::max(call.tokens / call.window, 1.0) : 1.0;
  return {std::log2(call.tokens),
          std::log2(call.batch * call.kv_heads),
          std::log2(call.heads / call.kv_heads),
          std::log2(call.score_dim),
          std::log2(beyond),
          call.heads > call.kv_heads ? 0.0 : 1.0};
}

}  // namespace foretoken
