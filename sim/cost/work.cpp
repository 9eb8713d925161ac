#include "sim/cost/work.h"

#include <algorithm>

namespace foretoken {
namespace {

double triangle(double n) { return n * (n + 1) / 2; }

double kv_bytes_per_token(const AttentionOp& op) {
  return 2.0 * op.kv_heads * op.head_dim * op.kv_cache.bytes_per_value();
}

// Query in and output back.
double row_bytes(const AttentionOp& op) { return 2.0 * op.heads * op.head_dim * kBytesInMemory; }

}  // namespace

double gemm_flops(const GemmOp& op) {
  return 2.0 * static_cast<double>(op.m) * static_cast<double>(op.n) * static_cast<double>(op.k);
}

double gemm_bytes(const GemmOp& op) {
  const auto m = static_cast<double>(op.m);
  const auto n = static_cast<double>(op.n);
  const auto k = static_cast<double>(op.k);
  return n * k * op.weights.bytes_per_value() + m * k * op.activations.bytes_per_value() +
         m * n * op.output.bytes_per_value();
}

double attended_pairs(const PrefillChunk& chunk, std::int64_t window) {
  const auto first = static_cast<double>(chunk.context);
  const double last = first + static_cast<double>(chunk.new_tokens);
  // Token i of 1..last sees min(i, window) tokens.
  const double cut = window > 0 ? static_cast<double>(window) : last;
  const auto up_to = [cut](double i) {
    return i <= cut ? triangle(i) : triangle(cut) + (i - cut) * cut;
  };
  return up_to(last) - up_to(first);
}

double prefill_flops(const AttentionOp& op) {
  double pairs = 0;
  for (const PrefillChunk& chunk : op.chunks) {
    pairs += attended_pairs(chunk, op.window);
  }
  return 4.0 * op.heads * op.head_dim * pairs;
}

double prefill_bytes(const AttentionOp& op) {
  double bytes = 0;
  for (const PrefillChunk& chunk : op.chunks) {
    const std::int64_t seen = op.window > 0 ? std::min(chunk.context, op.window) : chunk.context;
    bytes += kv_bytes_per_token(op) * static_cast<double>(seen + chunk.new_tokens) +
             row_bytes(op) * static_cast<double>(chunk.new_tokens);
  }
  return bytes;
}

double decode_bytes(const AttentionOp& op) {
  return kv_bytes_per_token(op) * static_cast<double>(op.kv_tokens) +
         row_bytes(op) * static_cast<double>(op.sequences);
}

double per_head_bytes(const AttentionOp& op) {
  return static_cast<double>(op.kv_tokens) * op.heads / op.kv_heads * kv_bytes_per_token(op);
}

}  // namespace foretoken
