// Closed forms of the other kernels: fused mixture of experts and passes over memory. Pure
// arithmetic: calibrate/fit fits exactly these.
#pragma once

#include <array>

namespace foretoken {

// One fused mixture-of-experts call on one rank.
struct MoeCall {
  double tokens = 0;         // of the whole expert-parallel group
  double hidden = 0;         //
  double inter = 0;          // of one expert on this rank (after tensor parallelism)
  double experts = 0;        // of the layer
  double local_experts = 0;  // of this rank
  double chosen = 0;         // experts of a token (top-k)
  double skew = 0;           // exponent of the power law of expert loads; 0: balanced
  double weight_bytes = 0;   // of one value
};

// Experts of this rank that get any token, tokens choosing independently.
double active_experts(const MoeCall& call);
// Rows the rank's experts work on. Skewed loads concentrate on the busiest rank: 1 + imbalance x
// skew for each further rank, up to four.
double expert_rows(const MoeCall& call, double imbalance);

// t = t0 + (compute^3 + memory^3)^(1/3) + rows x hidden / row_rate + active experts x per_expert.
// Compute counts rows in tiles of 64 for each active expert, half a tile of which is empty.
struct MoeRoofline {
  double t0 = 0;
  double peak = 0;              // op/s
  double bandwidth = 0;         // bytes/s, weights from memory
  double cached_bandwidth = 0;  // bytes/s, weights from L2
  double cache = 0;             // bytes
  double row_rate = 0;          // values/s of permuting and combining rows
  double per_expert = 0;        // s
  double imbalance = 0;         //
  double seconds(const MoeCall& call) const;
};
inline constexpr std::size_t kMoeAxes = 7;
std::array<double, kMoeAxes> moe_axes(const MoeCall& call);

// One pass over `rows` rows of `width` values.
struct PassCall {
  double rows = 0;
  double width = 0;
  double bytes = 0;  // read plus written
};
// t = t0 + bytes / min(SMs in use x per_sm, bandwidth), a block working on one row; from L2 what
// fits there.
struct PassRoofline {
  double t0 = 0;
  double per_sm = 0;     // bytes/s
  double bandwidth = 0;  // bytes/s, from memory
  double cached_bandwidth = 0;
  double cache = 0;  // bytes
  int sms = 1;
  double seconds(const PassCall& call) const;
};
inline constexpr std::size_t kPassAxes = 2;
std::array<double, kPassAxes> pass_axes(const PassCall& call);

}  // namespace foretoken
