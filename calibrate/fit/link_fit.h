// Measured two-rank all-reduces -> step latency and link efficiency, by inverting the simulated
// schedule: the two numbers with which simulating it misses the samples least.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "calibrate/fit/measurements.h"

namespace foretoken::calibrate {

struct LinkFit {
  LinkClass link_class = LinkClass::nvlink;
  double step_latency = 0;  // s, besides the link's
  double efficiency = 0;    // of the link's bandwidth
  double sd = 0;
  std::map<std::string, std::vector<Trial>> trials;  // by wire, sizes left out in turn
};

// `profile` has the samples of the codec phases; the wires' samples are (2, bytes of bf16 a rank).
LinkFit fit_link(const Profile& profile, const PairLink& link,
                 const std::map<std::string, std::vector<Sample>>& by_wire, double least_spread);

}  // namespace foretoken::calibrate
