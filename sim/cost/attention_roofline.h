// Closed forms under the attention models. Pure arithmetic: calibrate/fit fits exactly these.
#pragma once

#include <array>
#include <cstdint>

#include "sim/model/operator.h"

namespace foretoken {

// One kernel call on sequences of equal length. Latent attention is a case of it: in prefill with
// score_dim 192 and value_dim 128, in decode with one KV head of 576 values, 512 of them the value.
struct AttentionCall {
  double heads = 0, kv_heads = 0;       // of the rank
  double score_dim = 0, value_dim = 0;  // values of a head in q x k, and in the output
  double kv_bytes = 0;                  // of one token, all KV heads of the rank
  double window = 0;                    // 0: full
  double batch = 0;                     // sequences
  double tokens = 0;                    // prefill: of one prompt; decode: cached of one sequence
};
// REQUIRES: a decode op of sequences > 0, or a prefill op whose chunks have no context.
AttentionCall attention_call(const AttentionOp& op);

// t = t0 + |compute, memory| + sequences x per_sequence, |a, b| = sqrt(a^2 + b^2). Compute counts
// pairs in query tiles of 128: the diagonal tile is computed whole, and no call is faster than one
// tile over its keys on one SM.
struct PrefillRoofline {
  double t0 = 0;
  double peak = 0;          // op/s
  double bandwidth = 0;     // bytes/s
  double per_sequence = 0;  // s
  int sms = 1;
  double seconds(const AttentionCall& call) const;
};

// t = t0 + log2(1 + tokens / 128) x combine + |memory, tiles, compute|. A tile is one sequence and
// KV head; kernels for one query head per KV head do not split a sequence, so that a tile takes its
// length. A cache smaller than L2 is read from there when the same call is timed again and again,
// as the public tables do it.
struct DecodeRoofline {
  double t0 = 0;
  double bandwidth = 0;         // bytes/s, from memory
  double cached_bandwidth = 0;  // bytes/s, from L2
  double cache = 0;             // bytes
  double per_tile = 0;          // s, of a tile on one SM
  double per_head = 0;          // s, of a query head's share of a tile
  double per_token = 0;         // s, of a token in a tile that is not split
  double combine = 0;           // s, of a doubling of the parts a sequence is split in
  double peak = 0;              // op/s
  int sms = 1;
  double seconds(const AttentionCall& call) const;
};

// Coordinates for the residuals: what selects the kernel and its regime.
inline constexpr std::size_t kPrefillAxes = 6;
inline constexpr std::size_t kDecodeAxes = 6;
std::array<double, kPrefillAxes> prefill_axes(const AttentionCall& call);
std::array<double, kDecodeAxes> decode_axes(const AttentionCall& call);

}  // namespace foretoken
