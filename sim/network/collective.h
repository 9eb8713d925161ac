// Durations of collectives: a schedule of transfers and codec work, simulated as flows on a
// topology.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"
#include "sim/model/operator.h"
#include "sim/network/schedule.h"
#include "sim/spec/provenance.h"
#include "sim/topology/topology.h"

namespace foretoken {

// One file each in sim/network/algorithms, with its formula; collective_algorithms() lists them.
enum class Algorithm : std::uint8_t {
  automatic,  // the fastest for the size
  ring,
  tree,
  one_shot,
  two_step,
  hierarchical,
  nvls,
  direct
};
std::string_view name(Algorithm algorithm);
// Throws InputError naming the nearest.
Algorithm parse_algorithm(std::string_view text);

// How NCCL moves data: `simple` has the bandwidth, `ll` (low latency: 4 of 8 bytes are flags) the
// latency, `ll128` (8 of 128 bytes are flags) lies between.
enum class Protocol : std::uint8_t { automatic, simple, ll128, ll };
std::string_view name(Protocol protocol);
Protocol parse_protocol(std::string_view text);

struct CollectiveRequest {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::int64_t values = 0;  // per rank: the full vector, for every kind (nccl-tests' size)
  int raw_bytes_per_value = 2;
  // bf16, fp16 and fp32 travel as they are, without codec work.
  Format wire = kBf16;
  // What the second half of an all-reduce sends, where it differs (int4 down, int8 back).
  std::optional<Format> second_wire = std::nullopt;
  std::vector<int> gpus;  // GPU index of each rank, in rank order
  Algorithm algorithm = Algorithm::automatic;
  Protocol protocol = Protocol::automatic;
  // Pipelined chunks: the codec of one overlaps the wire of another. 0: automatic.
  int chunks = 0;
  // All-to-all with skewed loads: values that rank i has for rank j at [i x ranks + j], in place of
  // `values` / ranks for each. Empty: even.
  std::vector<std::int64_t> pair_values = {};
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
    double transfer_cap =
        kUncapped;  // bytes per second that one transfer reaches at most (channels)
  };
  std::map<LinkClass, PerClass> per_class;
  // What a protocol adds to the above. Empty: `simple`, which adds nothing.
  struct PerProtocol {
    double efficiency = 1;  // times the link class's; > 0
    Time t0 = kTimeZero;
    Time step_latency = kTimeZero;
  };
  std::map<Protocol, PerProtocol> protocols = {};
  // Fixed time of one call that an algorithm adds, where it is known.
  std::map<Algorithm, Time> algorithm_t0 = {};
  // Time of codec work on one rank, `values` being all those it reads or writes unpacked. Empty:
  // free.
  std::function<Time(CodecPhase phase, std::int64_t values, const Format& wire)> codec;
  // Time of what a kernel of its own does on one rank instead, where the wire is raw: read, sum and
  // write `values` values. Empty: hidden behind the wire, as in a library's kernels.
  std::function<Time(CodecPhase phase, std::int64_t values)> pass = nullptr;
  // Everything takes so many times as long: a replication's draw.
  double slowdown = 1;
  Provenance provenance = Provenance::assumed;
  double sd_family = 0;
};

// Of one call, before its first step.
Time fixed_time(const CollectiveCosts& costs, Algorithm algorithm, Protocol protocol);
// `time` under the costs' slowdown.
Time slower(Time time, const CollectiveCosts& costs);

// total = latency + wire + codec, along the critical path.
struct CollectiveTime {
  Time total = kTimeZero;
  Time latency = kTimeZero;  // the part that does not depend on bytes
  Time wire = kTimeZero;
  Time codec = kTimeZero;
  std::int64_t wire_bytes_per_rank = 0;  // sent by the rank that sends most
  // What ran, also where the request left it open.
  Algorithm algorithm = Algorithm::ring;
  Protocol protocol = Protocol::simple;
  int chunks = 1;
  Format wire_format = kBf16;
};

// Alone on the network: no other flows share the links. Pure: same inputs, same result. One rank,
// or no values, takes no time. What the request leaves automatic is what choose() finds. Throws
// InputError when a GPU stands in the group twice, an algorithm cannot do the kind, or there is no
// path between two ranks.
CollectiveTime simulate_alone(const Topology& topology, const CollectiveCosts& costs,
                              const CollectiveRequest& request);

// Every way the request leaves open, simulated; fastest first. Ties go to the simpler algorithm
// (the order of the enumeration) and fewer chunks. On a quantised wire,
// ring and tree, which quantise the sum anew at every hop, only run when asked for by name.
// An automatic algorithm also tries a raw wire
// where the quantised one would send more bytes (vectors shorter than ranks x group).
struct CollectiveChoice {
  CollectiveTime best;
  std::vector<CollectiveTime> candidates;  // best of each algorithm, fastest first
  std::string reason;  // "two_step/ll: 12.1 us, latency 60 %; next ring/simple: 20.3 us"
};
CollectiveChoice choose(const Topology& topology, const CollectiveCosts& costs,
                        const CollectiveRequest& request);

// What holds a collective up.
struct CollectiveAnatomy {
  CollectiveTime time;
  // Part of `time.wire`: what it takes longer because transfers share links on their way, the links
  // of their own ends apart.
  Time contention = kTimeZero;
  // The link that is busy longest, and the share of the whole time that its bytes take; -1: none.
  LinkId critical_link = -1;
  double critical_share = 0;
};
// REQUIRES: algorithm, protocol and chunks of the request are stated.
CollectiveAnatomy dissect(const Topology& topology, const CollectiveCosts& costs,
                          const CollectiveRequest& request);

// The schedule of a collective whose algorithm and chunks are stated, for runs that share the
// network with others. Its cost t0 is not part of it. REQUIRES: more than one rank, values > 0.
Schedule make_schedule(const Topology& topology, const CollectiveCosts& costs,
                       const CollectiveRequest& request);

// Bytes per second of each link as collectives reach them: bandwidth x efficiency of its class.
// What a protocol takes of that is in the schedule.
std::vector<double> effective_capacity(const Topology& topology, const CollectiveCosts& costs);

}  // namespace foretoken
