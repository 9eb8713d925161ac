#include "sim/cost/gemm_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/error.h"

namespace foretoken {
namespace {

// Distance at which the roofline weighs as much as one neighbour.
constexpr double kPriorDistance = 5;
// A doubling of m tells less about the residual than one of n or k: it counts for this much.
constexpr double kWeightOfM = 0.7;
// Samples of one (n, k) are interpolated over gaps up to this many doublings of m.
constexpr double kWidestGap = 3;
constexpr double kRounding = 1e-9;  // of logarithms of equal numbers

double log_of(std::int64_t value) { return std::log2(static_cast<double>(value)); }

void widen(double value, double& low, double& high) {
  low = std::min(low, value);
  high = std::max(high, value);
}

bool within(double value, double low, double high) {
  return value >= low - kRounding && value <= high + kRounding;
}

}  // namespace

GemmTable::GemmTable(std::span<const Sample> samples, const GemmRoofline& roofline,
                     const GemmOp& like) {
  // Repeated measurements of one shape count with their mean logarithm.
  struct Mean {
    double sum = 0;
    int count = 0;
  };
  std::map<std::pair<std::int64_t, std::int64_t>, std::map<std::int64_t, Mean>> by_shape;
  for (const Sample& sample : samples) {
    FT_CHECK(sample.shape.size() == 3 && sample.seconds > 0, "a GEMM sample is m, n, k and a time");
    GemmOp op = like;
    op.m = sample.shape[0];
    op.n = sample.shape[1];
    op.k = sample.shape[2];
    Mean& mean = by_shape[{op.n, op.k}][op.m];
    mean.sum += std::log(sample.seconds / roofline.seconds(op));
    ++mean.count;
  }
  low_m_ = low_n_ = low_k_ = std::numeric_limits<double>::infinity();
  high_m_ = high_n_ = high_k_ = -std::numeric_limits<double>::infinity();
  for (const auto& [shape, means] : by_shape) {
    Group group{log_of(shape.first), log_of(shape.second), {}, {}};
    widen(group.log_n, low_n_, high_n_);
    widen(group.log_k, low_k_, high_k_);
    for (const auto& [m, mean] : means) {
      group.log_m.push_back(log_of(m));
      group.log_residual.push_back(mean.sum / mean.count);
      widen(group.log_m.back(), low_m_, high_m_);
    }
    group_of_[shape] = static_cast<int>(groups_.size());
    groups_.push_back(std::move(group));
  }
}

GemmTable::Neighbourhood GemmTable::neighbourhood(std::int64_t n, std::int64_t k) const {
  Neighbourhood found;
  const double log_n = log_of(n);
  const double log_k = log_of(k);
  found.inside = within(log_n, low_n_, high_n_) && within(log_k, low_k_, high_k_);
  for (int i = 0; i < static_cast<int>(groups_.size()); ++i) {
    const double dn = groups_[i].log_n - log_n;
    const double dk = groups_[i].log_k - log_k;
    const double squared = dn * dn + dk * dk;
    if (found.count == kNeighbours && squared >= found.nearest[kNeighbours - 1].squared_distance) {
      continue;
    }
    int at = found.count == kNeighbours ? kNeighbours - 1 : found.count++;
    for (; at > 0 && found.nearest[at - 1].squared_distance > squared; --at) {
      found.nearest[at] = found.nearest[at - 1];
    }
    found.nearest[at] = {i, squared};
  }
  if (const auto exact = group_of_.find({n, k}); exact != group_of_.end()) {
    found.nearest[0] = {exact->second,
                        0.0};  // it is the nearest; take rounding out of the distance
  }
  return found;
}

GemmTable::AlongM GemmTable::along_m(const Group& group, double log_m) const {
  const auto above = std::lower_bound(group.log_m.begin(), group.log_m.end(), log_m - kRounding);
  if (above == group.log_m.end()) {
    return {group.log_residual.back(), log_m - group.log_m.back(), false};
  }
  const auto i = static_cast<std::size_t>(above - group.log_m.begin());
  if (*above <= log_m + kRounding) {
    return {group.log_residual[i], 0, true};
  }
  if (i == 0) {
    return {group.log_residual.front(), group.log_m.front() - log_m, false};
  }
  const double gap = group.log_m[i] - group.log_m[i - 1];
  const double share = (log_m - group.log_m[i - 1]) / gap;
  const double residual =
      group.log_residual[i - 1] + share * (group.log_residual[i] - group.log_residual[i - 1]);
  return {residual, gap * std::min(share, 1 - share), gap <= kWidestGap};
}

GemmTable::Prediction GemmTable::predict(const Neighbourhood& neighbourhood, std::int64_t m) const {
  if (neighbourhood.count == 0) {
    return {};
  }
  const double log_m = log_of(m);
  Prediction prediction;
  prediction.inside = neighbourhood.inside && within(log_m, low_m_, high_m_);
  prediction.sampled = neighbourhood.nearest[0].squared_distance == 0;
  double sum = 0;
  double weights = 1 / (kPriorDistance * kPriorDistance);
  double nearest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < neighbourhood.count; ++i) {
    const Neighbour& neighbour = neighbourhood.nearest[i];
    const AlongM along = along_m(groups_[neighbour.group], log_m);
    const double dm = kWeightOfM * along.distance;
    if (neighbour.squared_distance == 0 && along.bracketed) {
      return {along.log_residual, dm, prediction.inside, true};
    }
    const double squared = neighbour.squared_distance + dm * dm;
    nearest = std::min(nearest, squared);
    weights += 1 / squared;
    sum += along.log_residual / squared;
  }
  prediction.log_residual = sum / weights;
  prediction.distance = std::sqrt(nearest);
  return prediction;
}

}  // namespace foretoken
