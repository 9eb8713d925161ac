// Durations of collectives: a schedule of transfers and codec work, simulated as flows on a
// topology.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"
#include "sim/model/operator.h"
#include "sim/spec/provenance.h"
#include "sim/topology/topology.h"

namespace foretoken {

enum class Algorithm : std::uint8_t { automatic, ring, two_step, direct };

struct CollectiveRequest {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::int64_t values = 0;  // per rank (the full vector)
  int raw_bytes_per_value = 2;
  Format wire = kBf16;
  std::vector<int> gpus;  // GPU index of each rank, in rank order
  Algorithm algorithm = Algorithm::automatic;
};

// Constants of the device and its links, from the profile. Each is one number with provenance; the
// weakest of those used is the provenance of the result.
struct CollectiveCosts {
  Time t0 = kTimeZero;            // fixed time of one call
  Time step_latency = kTimeZero;  // fixed time of one step, besides the links' own latency
  struct PerClass {
    double efficiency = 1;
    Time step_latency = kTimeZero;
  };
  std::map<LinkClass, PerClass> per_class;
  // Time of codec work on one rank: quantise or dequantise `values` values in `wire`. Empty: raw
  // only.
  std::function<Time(std::int64_t values, const Format& wire)> codec;
  Provenance provenance = Provenance::assumed;
  double sd_family = 0;
};

struct CollectiveTime {
  Time total = kTimeZero;
  Time latency = kTimeZero;  // the part that does not depend on bytes
  Time wire = kTimeZero;
  Time codec = kTimeZero;
  std::int64_t wire_bytes_per_rank = 0;
  Algorithm algorithm = Algorithm::ring;
};

// Alone on the network: no other flows share the links. Pure: same inputs, same result.
CollectiveTime simulate_alone(const Topology& topology, const CollectiveCosts& costs,
                              const CollectiveRequest& request);

}  // namespace foretoken
