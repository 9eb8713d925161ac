// Attention: a closed form, and measured samples around it.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "sim/model/operator.h"
#include "sim/spec/profile.h"

namespace foretoken {

// Prefill: t0 + max(operations / peak, bytes / bandwidth). Decode: t0 + bytes / bandwidth.
struct AttentionRoofline {
  double t0 = 0;
  double peak = 0;       // op/s; prefill only
  double bandwidth = 0;  // bytes/s
  double seconds(const AttentionOp& op) const;
};

// The operator a sample stands for. Shapes in profiles:
//   attention_prefill.KV  heads, kv_heads, head_dim, window, sequences, new tokens and context of
//   each attention_decode.KV   heads, kv_heads, head_dim, window, sequences, cached tokens of each
AttentionOp prefill_op(const Sample& sample, const Format& kv_cache);
AttentionOp decode_op(const Sample& sample, const Format& kv_cache);

// Residuals log(measured / roofline) of the nearest samples, averaged with weights 1 / distance^2
// against the roofline itself, which stands kPriorDistance away. Distances are in doublings of:
// sequences, their length, KV heads, query heads per KV head, and sequences x KV heads, the
// parallelism that a GPU sees. Chunks of different lengths count as equal ones with as many new
// tokens and as much work. Samples of another head size or with a window where the operator has
// none are further away.
//
// predict() looks at every sample: 1 us for 200 of them. Immutable; safe to share between threads.
class AttentionTable {
 public:
  AttentionTable(const std::vector<AttentionOp>& ops, const std::vector<double>& seconds,
                 const AttentionRoofline& roofline);

  struct Prediction {
    double log_residual = 0;
    double distance = 0;  // to the nearest sample, in doublings
    bool inside = false;  // sequences and length within the sampled ranges
  };
  Prediction predict(const AttentionOp& op) const;

 private:
  static constexpr int kFeatures = 7;
  using Features = std::array<double, kFeatures>;
  static Features features(const AttentionOp& op);

  struct Point {
    Features at{};
    double log_residual = 0;
  };
  std::vector<Point> points_;
  Features low_{}, high_{};
};

}  // namespace foretoken
