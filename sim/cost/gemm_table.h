// Measured GEMMs around a roofline: what a sample says about its neighbours.
//
// A sample's residual is log(measured / roofline). Along m at a sampled (n, k) residuals are
// interpolated linearly in log m. Elsewhere the residuals of the nearest (n, k) groups are averaged
// with weights 1 / distance^2, distances counted in doublings, against a roofline prior that stands
// kPriorDistance away; so far from all samples the roofline remains. Immutable; safe to share
// between threads.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "sim/cost/gemm_roofline.h"
#include "sim/spec/profile.h"

namespace foretoken {

class GemmTable {
 public:
  static constexpr int kNeighbours = 5;

  // `like` gives the formats. REQUIRES: every sample has a shape of three positive numbers and a
  // positive time.
  GemmTable(std::span<const Sample> samples, const GemmRoofline& roofline, const GemmOp& like);

  struct Neighbour {
    int group = 0;
    double squared_distance = 0;  // in (n, k), doublings squared
  };
  struct Neighbourhood {
    std::array<Neighbour, kNeighbours> nearest;  // nearest first
    int count = 0;
    bool inside = false;  // n and k within the sampled ranges
  };
  // The part of a prediction that depends on (n, k) alone, for callers that keep it.
  Neighbourhood neighbourhood(std::int64_t n, std::int64_t k) const;

  struct Prediction {
    double log_residual = 0;  // multiply the roofline by exp of this
    double distance = 0;      // to the nearest sample, in doublings
    bool inside = false;      // within the sampled ranges of m, n and k
    bool sampled = false;     // this (n, k) has samples, whatever their m
  };
  Prediction predict(const Neighbourhood& neighbourhood, std::int64_t m) const;
  Prediction predict(const GemmOp& op) const { return predict(neighbourhood(op.n, op.k), op.m); }

  bool empty() const { return groups_.empty(); }

 private:
  struct Group {
    double log_n = 0, log_k = 0;
    std::vector<double> log_m;  // ascending
    std::vector<double> log_residual;
  };
  struct AlongM {
    double log_residual = 0;
    double distance = 0;     // in log m to the nearest sample of the group
    bool bracketed = false;  // between two samples close enough to interpolate
  };
  AlongM along_m(const Group& group, double log_m) const;

  std::vector<Group> groups_;
  std::map<std::pair<std::int64_t, std::int64_t>, int> group_of_;
  double low_m_ = 0, high_m_ = 0, low_n_ = 0, high_n_ = 0, low_k_ = 0, high_k_ = 0;  // log2
};

}  // namespace foretoken
