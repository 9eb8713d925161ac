// Flows on links, on an event queue. Each flow gets its max-min fair share (sim/network/max_min.h)
// and calls back when its last byte has left. Latency is the caller's: it starts the flow that much
// later.
//
// Rates are solved once per instant, for the connected component of links and flows that changed. A
// flow that shares no link needs no solve. A component has one event, for its earliest finish;
// events of components that have changed since are dropped when they come up.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/core/units.h"
#include "sim/network/max_min.h"
#include "sim/topology/topology.h"

namespace foretoken {

using FlowId = std::uint32_t;

class FlowNetwork final : private EventHandler {
 public:
  // Bytes per second of each link, all > 0. The queue must outlive this.
  FlowNetwork(EventQueue& queue, std::vector<double> capacity);
  FlowNetwork(const FlowNetwork&) = delete;
  FlowNetwork& operator=(const FlowNetwork&) = delete;

  // Calls done.handle(payload) when `bytes` have been sent over all of `links` (no link twice). The
  // id is free for another flow after that. REQUIRES: bytes > 0, cap > 0, links not empty.
  FlowId start(std::span<const LinkId> links, double bytes, EventHandler& done,
               std::uint64_t payload, double cap = kUncapped);

  // Bytes per second now. Starts and finishes of this instant count after its deferred work has
  // run.
  double rate(FlowId flow) const { return rate_[flow]; }
  std::size_t active() const { return active_; }
  std::size_t active_on(LinkId link) const { return links_[link].flows.size(); }
  std::uint64_t solves() const { return solves_; }

 private:
  using Index = std::uint32_t;
  static constexpr std::int32_t kIsolated = -1;  // no group: its own event
  static constexpr std::uint64_t kGroupEvent = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kSolve = ~std::uint64_t{0};

  struct Use {
    LinkId link;
    Index position;  // in the link's list
  };
  struct Member {
    Index flow;
    Index use;  // in the flow's list
  };
  struct Flow {
    EventHandler* done = nullptr;
    std::uint64_t payload = 0;
    double cap = kUncapped;
    double remaining = 0;  // bytes, at `updated`
    Time updated = kTimeZero;
    Index generation = 0;  // an event of another generation is void
    Index use_count = 0;
  };
  struct Link {
    double capacity = 0;
    Index visit = 0;
    std::int32_t local = 0;  // index in the problem solved last in which it took part
    std::vector<Member> flows;
  };
  // Flows solved together, with one event for the earliest finish.
  struct Group {
    Index generation = 0;
    Index active = 0;
    // At local index of the component. Flows that have finished since keep their place, where
    // another flow may now have the slot: group_ tells.
    std::vector<Index> flows;
  };

  void handle(std::uint64_t payload) override;
  FlowId make_flow(std::size_t links);
  Use* uses(Index flow) { return &uses_[flow * stride_]; }
  std::int32_t local_link(LinkId link);
  void visit_flow(Index index);
  void join_links(Index index, std::span<const LinkId> links);
  void leave_links(Index index);
  void finish(Index index);
  void finish_group(std::int32_t group);
  void mark(LinkId link);
  void set_rate(Index index, double rate);
  void schedule_isolated(Index index);
  void solve_marked();
  void collect_component(LinkId seed);
  void solve_component();
  Time update_rates();
  bool only_finishes() const;
  void solve_again();
  void schedule_group(std::int32_t group, Time at);
  void retire_group(std::int32_t group);
  std::int32_t make_group();

  EventQueue* queue_;
  std::vector<Link> links_;
  std::vector<Flow> flows_;
  // Of flows, apart because every solve goes through them.
  std::vector<double> rate_;
  std::vector<Time> finish_;
  std::vector<std::int32_t> group_;
  std::vector<Index> visited_;
  std::vector<std::int32_t> local_;  // index in the problem being solved
  std::vector<Use> uses_;            // `stride_` per flow: the longest route so far
  std::size_t stride_ = 2;
  std::vector<Index> free_flows_;
  std::vector<Group> groups_;
  std::vector<std::int32_t> free_groups_;
  std::vector<LinkId> marked_;  // links whose flows must be solved at the end of this instant
  bool solve_pending_ = false;
  Index visit_ = 0;       // stamp of the component collected last
  Index pass_begin_ = 0;  // stamps from here on are of this instant's solve
  std::size_t active_ = 0;
  std::uint64_t solves_ = 0;
  // Working memory of one solve.
  std::vector<LinkId> component_links_;
  std::vector<Index> component_flows_;
  std::vector<char> gone_;  // by local index: finished since the component was collected
  std::size_t gone_count_ = 0;
  std::int32_t kept_group_ = kIsolated;  // the group of the component that is kept; kIsolated: none
  std::vector<Index> finished_;
  bool any_cap_ = false;
  MaxMinProblem problem_;
  MaxMinSolver solver_;
  std::vector<double> rates_;
};

}  // namespace foretoken
