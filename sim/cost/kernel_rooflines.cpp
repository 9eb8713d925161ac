#include "sim/cost/kernel_rooflines.h"

#include <algorithm>
#include <cmath>

namespace foretoken {
namespace {

constexpr double kHalfTile = 32;
constexpr double kMostRanks = 4;

// Seconds to move bytes of which a part comes from a cache that they outgrow.
double move(double bytes, double bandwidth, double cached_bandwidth, double cache) {
  const double ratio = cache / bytes;
  const double far = 1 / (1 + ratio * ratio * ratio * ratio);
  return bytes * (far / bandwidth + (1 - far) / cached_bandwidth);
}

}  // namespace

double active_experts(const MoeCall& call) {
  const double untouched = std::pow(1 - std::min(call.chosen / call.experts, 1.0), call.tokens);
  return call.local_experts * (1 - untouched);
}

double expert_rows(const MoeCall& call, double imbalance) {
  const double share = call.local_experts / call.experts;
  const double further = std::min(1 / share - 1, kMostRanks);
  return call.tokens * call.chosen * share * (1 + imbalance * call.skew * further);
}

double MoeRoofline::seconds(const MoeCall& call) const {
  const double active = active_experts(call);
  const double rows = expert_rows(call, imbalance);
  const double values = 3 * call.hidden * call.inter;  // of one expert: gate, up and down
  const double compute = 2 * values * (rows + kHalfTile * active) / peak;
  const double memory =
      move(active * values * call.weight_bytes, bandwidth, cached_bandwidth, cache);
  const double work = std::cbrt(compute * compute * compute + memory * memory * memory);
  return t0 + work + rows * call.hidden / row_rate + active * per_expert;
}

std::array<double, kMoeAxes> moe_axes(const MoeCall& call) {
  return {std::log2(call.tokens),
          std::log2(call.hidden),
          std::log2(call.inter),
          std::log2(call.local_experts),
          call.skew,
          std::log2(call.chosen),
          std::log2(expert_rows(call, 0) / active_experts(call))};
}

double PassRoofline::seconds(const PassCall& call) const {
  const double few = call.bytes / (std::min<double>(call.rows, sms) * per_sm);
  return t0 + std::max(few, move(call.bytes, bandwidth, cached_bandwidth, cache));
}

std::array<double, kPassAxes> pass_axes(const PassCall& call) {
  return {std::log2(call.rows), std::log2(call.width)};
}

}  // namespace foretoken
