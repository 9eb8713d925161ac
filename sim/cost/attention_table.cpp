#include "sim/cost/attention_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/error.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

constexpr int kNeighbours = 5;
constexpr double kPriorDistance = 5;
constexpr double kRounding = 1e-9;
constexpr double kExact = 1e-12;  // squared distance of equal shapes

// Weight of each feature's distance: sequences, length, KV heads, group, parallelism, head size,
// window.
constexpr std::array kWeights{1.0, 1.0, 0.7, 0.7, 1.0, 1.0, 1.0};

}  // namespace

double AttentionRoofline::seconds(const AttentionOp& op) const {
  if (op.decode) {
    return t0 + decode_bytes(op) / bandwidth;
  }
  return t0 + std::max(prefill_flops(op) / peak, prefill_bytes(op) / bandwidth);
}

AttentionOp prefill_op(const Sample& sample, const Format& kv_cache) {
  FT_CHECK(sample.shape.size() == 7, "a prefill sample has 7 numbers, not {}", sample.shape.size());
  AttentionOp op;
  op.heads = static_cast<int>(sample.shape[0]);
  op.kv_heads = static_cast<int>(sample.shape[1]);
  op.head_dim = static_cast<int>(sample.shape[2]);
  op.window = sample.shape[3];
  op.kv_cache = kv_cache;
  op.chunks.assign(static_cast<std::size_t>(sample.shape[4]), {sample.shape[5], sample.shape[6]});
  return op;
}

AttentionOp decode_op(const Sample& sample, const Format& kv_cache) {
  FT_CHECK(sample.shape.size() == 6, "a decode sample has 6 numbers, not {}", sample.shape.size());
  AttentionOp op;
  op.decode = true;
  op.heads = static_cast<int>(sample.shape[0]);
  op.kv_heads = static_cast<int>(sample.shape[1]);
  op.head_dim = static_cast<int>(sample.shape[2]);
  op.window = sample.shape[3];
  op.kv_cache = kv_cache;
  op.sequences = sample.shape[4];
  const std::int64_t seen = op.window > 0 ? std::min(sample.shape[5], op.window) : sample.shape[5];
  op.kv_tokens = op.sequences * seen;
  return op;
}

AttentionTable::Features AttentionTable::features(const AttentionOp& op) {
  double sequences = static_cast<double>(op.sequences);
  double length = 0;
  if (op.decode) {
    length = static_cast<double>(op.kv_tokens) / std::max(sequences, 1.0);
  } else {
    // A fresh prompt of L tokens visits L (L + 1) / 2 pairs: L = 2 pairs / tokens - 1.
    double pairs = 0;
    double tokens = 0;
    for (const PrefillChunk& chunk : op.chunks) {
      pairs += attended_pairs(chunk, op.window);
      tokens += static_cast<double>(chunk.new_tokens);
    }
    length = tokens > 0 ? 2 * pairs / tokens - 1 : 1;
    sequences = tokens / std::max(length, 1.0);
  }
  const double log_sequences = std::log2(std::max(sequences, 1e-6));
  const double log_kv = std::log2(static_cast<double>(op.kv_heads));
  return {log_sequences,
          std::log2(std::max(length, 1.0)),
          log_kv,
          std::log2(static_cast<double>(op.heads)) - log_kv,
          log_sequences + log_kv,
          std::log2(static_cast<double>(op.head_dim)),
          op.window > 0 ? 1.0 : 0.0};
}

AttentionTable::AttentionTable(const std::vector<AttentionOp>& ops,
                               const std::vector<double>& seconds,
                               const AttentionRoofline& roofline) {
  FT_CHECK(ops.size() == seconds.size(), "{} shapes, {} times", ops.size(), seconds.size());
  low_.fill(std::numeric_limits<double>::infinity());
  high_.fill(-std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < ops.size(); ++i) {
    FT_CHECK(seconds[i] > 0, "an attention sample takes time");
    const Point point{features(ops[i]), std::log(seconds[i] / roofline.seconds(ops[i]))};
    for (std::size_t f = 0; f < kFeatures; ++f) {
      low_[f] = std::min(low_[f], point.at[f]);
      high_[f] = std::max(high_[f], point.at[f]);
    }
    points_.push_back(point);
  }
}

AttentionTable::Prediction AttentionTable::predict(const AttentionOp& op) const {
  Prediction prediction;
  if (points_.empty()) {
    return prediction;
  }
  struct Near {
    double squared = std::numeric_limits<double>::infinity();
    double log_residual = 0;
  };
  std::array<Near, kNeighbours> nearest;  // ascending
  const Features at = features(op);
  for (const Point& point : points_) {
    double squared = 0;
    for (std::size_t f = 0; f < kFeatures; ++f) {
      const double d = kWeights[f] * (point.at[f] - at[f]);
      squared += d * d;
    }
    if (squared < nearest.back().squared) {
      std::size_t slot = kNeighbours - 1;
      for (; slot > 0 && nearest[slot - 1].squared > squared; --slot) {
        nearest[slot] = nearest[slot - 1];
      }
      nearest[slot] = {squared, point.log_residual};
    }
  }
  prediction.distance = std::sqrt(nearest.front().squared);
  prediction.inside = true;
  for (const std::size_t f : {0U, 1U}) {
    prediction.inside =
        prediction.inside && at[f] >= low_[f] - kRounding && at[f] <= high_[f] + kRounding;
  }
  if (nearest.front().squared < kExact) {
    prediction.log_residual = nearest.front().log_residual;
    return prediction;
  }
  double weights = 1 / (kPriorDistance * kPriorDistance);
  double sum = 0;
  for (const Near& near : nearest) {
    if (std::isfinite(near.squared)) {
      weights += 1 / near.squared;
      sum += near.log_residual / near.squared;
    }
  }
  prediction.log_residual = sum / weights;
  return prediction;
}

}  // namespace foretoken
