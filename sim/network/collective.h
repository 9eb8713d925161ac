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
#include "sim/network/schedule.h"
#include "sim/spec/provenance.h"
#include "sim/topology/topology.h"

namespace foretoken {

enum class Algorithm : std::uint8_t { automatic, ring, two_step, direct };

std::string_view name(Algorithm algorithm);

struct CollectiveRequest {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::int64_t values = 0;  // per rank: the full vector, for every kind (nccl-tests' size)
  int raw_bytes_per_value = 2;
  // bf16, fp16 and fp32 travel as they are, without codec work.
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
    double efficiency = 1;  // share of the links' bandwidth reached
    Time step_latency =
        kTimeZero;  // added to the general one for steps whose route is of this class
  };
  std::map<LinkClass, PerClass> per_class;
  // Time of codec work on one rank: quantise or dequantise `values` values in `wire`. Empty: free.
  std::function<Time(std::int64_t values, const Format& wire)> codec;
  Provenance provenance = Provenance::assumed;
  double sd_family = 0;
};

// total = latency + wire + codec, along the critical path.
struct CollectiveTime {
  Time total = kTimeZero;
  Time latency = kTimeZero;  // the part that does not depend on bytes
  Time wire = kTimeZero;
  Time codec = kTimeZero;
  std::int64_t wire_bytes_per_rank = 0;  // sent by the rank that sends most
  Algorithm algorithm = Algorithm::ring;
};

// Alone on the network: no other flows share the links. Pure: same inputs, same result. One rank,
// or no values, takes no time. Throws InputError when a GPU stands in the group twice or a kind
// cannot run with the algorithm.
CollectiveTime simulate_alone(const Topology& topology, const CollectiveCosts& costs,
                              const CollectiveRequest& request);

// The algorithm that `automatic` stands for; itself otherwise.
Algorithm resolve_algorithm(const CollectiveRequest& request);

// The schedule of a collective, for runs that share the network with others. Its cost t0 is not
// part of it. REQUIRES: more than one rank, values > 0.
Schedule make_schedule(const Topology& topology, const CollectiveCosts& costs,
                       const CollectiveRequest& request);

// Bytes per second of each link as collectives reach them: bandwidth x efficiency of its class.
std::vector<double> effective_capacity(const Topology& topology, const CollectiveCosts& costs);

}  // namespace foretoken
