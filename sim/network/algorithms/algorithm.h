// The seam of collective algorithms: one row of the table and one .cpp each.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/network/collective.h"

namespace foretoken {

// What an algorithm is written with: ranks, slices, sends and codec work. An algorithm is called
// once per chunk, with values() the chunk's.
class ScheduleBuilder {
 public:
  ScheduleBuilder(const Topology& topology, const CollectiveCosts& costs,
                  const CollectiveRequest& request);

  int ranks() const { return ranks_; }
  const CollectiveRequest& request() const { return *request_; }
  const Topology& topology() const { return *topology_; }
  const CollectiveCosts& costs() const { return *costs_; }
  int next(int rank) const { return (rank + 1) % ranks_; }
  int previous(int rank) const { return (rank + ranks_ - 1) % ranks_; }

  std::int64_t values() const { return values_; }
  void set_values(std::int64_t values) { values_ = values; }
  // Formats of the first and of the second half of an all-reduce.
  const Format& wire() const { return request_->wire; }
  const Format& second_wire() const { return second_wire_; }
  // Values of one of `parts` equal slices: whole groups of both wires, so that each can be coded,
  // sent and summed on its own.
  std::int64_t slice(int parts) const;

  // Tasks that a rank's next one waits for.
  using Waits = std::vector<TaskId>;
  TaskId send(int from, int to, std::int64_t values, const Format& wire, const Waits& after);
  // Over links of the caller's choice; for switches that reduce or multicast.
  TaskId send_over(int from, SchedulePath path, std::int64_t bytes, const Waits& after);
  // Replaces `after` by codec work that waits for it, or by the pass of a raw wire; leaves it as it
  // is when that costs nothing.
  void code(int rank, CodecPhase phase, std::int64_t values, const Format& wire, Waits& after);
  // Latency of one step between two ranks: links, class, protocol.
  Time step_latency(int from, int to) const;
  // Bytes on the links per byte sent.
  double stretch() const;

  Schedule take() { return std::move(schedule_); }

 private:
  int path(int from, int to);

  const Topology* topology_;
  const CollectiveCosts* costs_;
  const CollectiveRequest* request_;
  int ranks_;
  std::int64_t values_;
  Format second_wire_;
  Schedule schedule_;
  std::vector<int> paths_;  // by from x ranks + to; -1: not yet made
};

struct CollectiveAlgorithm {
  Algorithm id;
  std::string_view name;
  std::string_view formula;  // steps and bytes, in one sentence
  // Why it cannot run this request; empty when it can.
  std::string (*refusal)(const Topology& topology, const CollectiveRequest& request);
  void (*build)(ScheduleBuilder& builder);
  bool chunked;  // gains by pipelined chunks also on a raw wire
  // Quantises the sum anew at every hop, so that the error grows with the ranks: on a quantised
  // wire only taken when asked for by name.
  bool requantises;
};

// In the order of the enumeration.
std::span<const CollectiveAlgorithm> collective_algorithms();
const CollectiveAlgorithm& collective_algorithm(Algorithm id);

// Rank indices by locality: the groups that remain when the worst route class between any two ranks
// is cut (NUMA groups of a PCIe box, nodes of a pod), in rank order. One group when all routes are
// alike.
std::vector<std::vector<int>> locality_groups(const Topology& topology,
                                              const std::vector<int>& gpus);

extern const CollectiveAlgorithm kRing;
extern const CollectiveAlgorithm kTree;
extern const CollectiveAlgorithm kOneShot;
extern const CollectiveAlgorithm kTwoStep;
extern const CollectiveAlgorithm kHierarchical;
extern const CollectiveAlgorithm kNvls;
extern const CollectiveAlgorithm kDirect;

}  // namespace foretoken
