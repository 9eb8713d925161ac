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
  double rate(FlowId flow) const { return flows_[flow].rate; }
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
    double remaining = 0;  // bytes, at `updated`
    double rate = 0;
    Time updated = kTimeZero;
    Time finish = kTimeNever;
    EventHandler* done = nullptr;
    std::uint64_t payload = 0;
    double cap = kUncapped;
    Index generation = 0;  // an event of another generation is void
    Index visit = 0;
    std::int32_t group = kIsolated;
    bool active = false;
    std::vector<Use> uses;
  };
  struct Link {
    double capacity = 0;
    Index visit = 0;
    std::int32_t local = 0;  // index in the problem being solved
    std::vector<Member> flows;
  };
  // Flows solved together, with one event for the earliest finish.
  struct Group {
    Index generation = 0;
    Index visit = 0;
    std::vector<Index> flows;
  };

  void handle(std::uint64_t payload) override;
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
  void retire_group(std::int32_t group);
  std::int32_t make_group();

  EventQueue* queue_;
  std::vector<Link> links_;
  std::vector<Flow> flows_;
  std::vector<Index> free_flows_;
  std::vector<Group> groups_;
  std::vector<std::int32_t> free_groups_;
  std::vector<LinkId> marked_;  // links whose flows must be solved at the end of this instant
  bool solve_pending_ = false;
  Index visit_ = 0;
  std::size_t active_ = 0;
  std::uint64_t solves_ = 0;
  // Working memory of one solve.
  std::vector<LinkId> component_links_;
  std::vector<Index> component_flows_;
  std::vector<Index> finished_;
  MaxMinProblem problem_;
  MaxMinSolver solver_;
  std::vector<double> rates_;
  std::vector<std::int32_t> local_links_;
};

}  // namespace foretoken
