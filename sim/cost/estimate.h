// What an operator costs, how sure we are, and why we think so.
#pragma once

#include <cstdint>

#include "sim/core/units.h"
#include "sim/model/operator.h"
#include "sim/spec/provenance.h"

namespace foretoken {

// Uncertainty has two components, both standard deviations of the log of the duration: a bias that
// all operators of a family share, and an effect of the operator's shape. They are drawn once per
// family and shape and replication, so that errors do not average away over layers and steps.
struct Estimate {
  double seconds = 0;
  double sd_family = 0;
  double sd_shape = 0;
  std::uint64_t family_key = 0;  // operators with the same key share the family draw
  std::uint64_t shape_key = 0;   // likewise for the shape effect
  Provenance provenance = Provenance::assumed;
  bool extrapolated = false;  // outside the calibrated range
};

// One replication's draws. Replication 0 of 0 is the point estimate: every factor is 1.
// The family draws are quasi-random over the replications (one dimension per family: stratified, so
// that R draws spread evenly over the distribution), the shape effects are hashed.
class CostDraw {
 public:
  CostDraw() = default;  // point estimate
  CostDraw(std::uint64_t seed, int replication, int replications);

  double factor(const Estimate& estimate) const;
  Time duration(const Estimate& estimate) const {
    return time_from_seconds(estimate.seconds * factor(estimate));
  }
  bool is_point() const { return replications_ == 0; }

 private:
  std::uint64_t seed_ = 0;
  int replication_ = 0;
  int replications_ = 0;
};

}  // namespace foretoken
