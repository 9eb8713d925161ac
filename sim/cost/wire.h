// A wire between the processes of a tensor group, as it was measured: what collectives take on it
// where the profile states `wire.*`. It stands for the links of the topology, whose nominal rates
// leave out what protocols, buckets and the processors that copy take.
#pragma once

#include <cstdint>
#include <optional>

#include "sim/model/operator.h"
#include "sim/spec/profile.h"

namespace foretoken {

// t = steps x latency + max(bytes / copy_bandwidth, (bytes - bucket) / bandwidth): a token bucket
// lets `bucket` bytes through at once and the rest at its rate; meanwhile processors copy.
struct Wire {
  double latency = 0;         // s, of one message that waits for its answer's
  double bandwidth = 0;       // bytes/s; 0: nothing but the processors limits it
  double bucket = 0;          // bytes
  double copy_bandwidth = 0;  // bytes/s that a rank sends while it receives as many
  double skew = 0;            // of the time between collectives: what ranks wait for each other
  double sd = 0;              // of the logarithm
  Provenance provenance = Provenance::measured;

  // `bytes` sent by each rank in all.
  double seconds(double bytes, int steps) const;
};

// Nothing: the profile states none.
std::optional<Wire> read_wire(const Profile& profile);

// A two-step all-reduce packs all values, unpacks `ranks` shares, packs a sum and unpacks all; an
// all-gather packs a share and unpacks all.
struct WireWork {
  double bytes = 0;  // sent by each rank, for values of `packed` bytes in all
  int steps = 0;
  double codec_passes = 0;  // over all values
};
// REQUIRES: all_reduce, all_gather or reduce_scatter; ranks >= 2.
WireWork wire_work(CollectiveKind kind, double packed, int ranks);

}  // namespace foretoken
