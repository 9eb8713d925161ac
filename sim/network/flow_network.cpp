#include "sim/network/flow_network.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken {
namespace {

// Finishes are rounded up to whole picoseconds, but a thousandth of one is taken for arithmetic
// noise: otherwise flows that end together would end at two instants.
constexpr double kNoise = 1e-3;

Time time_to_send(double bytes, double rate) {
  const double picos = bytes / rate * kPicosPerSecond;
  FT_CHECK(picos < 9e18, "a flow would take longer than the clock can count");
  return Time(static_cast<std::int64_t>(std::ceil(std::max(picos - kNoise, 0.0))));
}

}  // namespace

FlowNetwork::FlowNetwork(EventQueue& queue, std::vector<double> capacity)
    : queue_(&queue), links_(capacity.size()) {
  for (std::size_t l = 0; l < capacity.size(); ++l) {
    FT_CHECK(capacity[l] > 0, "link {} has no capacity", l);
    links_[l].capacity = capacity[l];
  }
}

FlowId FlowNetwork::start(std::span<const LinkId> links, double bytes, EventHandler& done,
                          std::uint64_t payload, double cap) {
  FT_CHECK(bytes > 0 && cap > 0 && !links.empty());
  if (free_flows_.empty()) {
    free_flows_.push_back(static_cast<Index>(flows_.size()));
    flows_.emplace_back();
  }
  const Index index = free_flows_.back();
  free_flows_.pop_back();
  Flow& flow = flows_[index];
  flow.remaining = bytes;
  flow.rate = 0;
  flow.updated = queue_->now();
  flow.finish = kTimeNever;
  flow.done = &done;
  flow.payload = payload;
  flow.cap = cap;
  flow.group = kIsolated;
  flow.active = true;
  ++active_;
  join_links(index, links);
  return index;
}

// Fast path: alone on all its links, a flow needs no solve.
void FlowNetwork::join_links(Index index, std::span<const LinkId> links) {
  Flow& flow = flows_[index];
  flow.uses.resize(links.size());
  double rate = flow.cap;
  bool alone = true;
  for (std::size_t i = 0; i < links.size(); ++i) {
    Link& link = links_[links[i]];
    flow.uses[i] = {links[i], static_cast<Index>(link.flows.size())};
    alone &= link.flows.empty();
    link.flows.push_back({index, static_cast<Index>(i)});
    rate = std::min(rate, link.capacity);
  }
  if (alone) {
    set_rate(index, rate);
    schedule_isolated(index);
  } else {
    mark(links.front());
  }
}

void FlowNetwork::leave_links(Index index) {
  for (const Use& use : flows_[index].uses) {
    std::vector<Member>& members = links_[use.link].flows;
    const Member last = members.back();
    members[use.position] = last;
    flows_[last.flow].uses[last.use].position = use.position;
    members.pop_back();
    if (!members.empty()) {
      mark(use.link);
    }
  }
}

void FlowNetwork::mark(LinkId link) {
  marked_.push_back(link);
  if (!solve_pending_) {
    solve_pending_ = true;
    queue_->defer(*this, kSolve);
  }
}

void FlowNetwork::set_rate(Index index, double rate) {
  Flow& flow = flows_[index];
  const Time now = queue_->now();
  flow.remaining -= flow.rate * to_seconds(now - flow.updated);
  flow.remaining = std::max(flow.remaining, 0.0);
  flow.updated = now;
  flow.rate = rate;
  flow.finish = now + time_to_send(flow.remaining, rate);
}

void FlowNetwork::schedule_isolated(Index index) {
  Flow& flow = flows_[index];
  flow.group = kIsolated;
  ++flow.generation;
  queue_->schedule(flow.finish, *this, (static_cast<std::uint64_t>(index) << 32) | flow.generation);
}

void FlowNetwork::handle(std::uint64_t payload) {
  if (payload == kSolve) {
    solve_marked();
    return;
  }
  const auto generation = static_cast<Index>(payload);
  const auto index = static_cast<Index>((payload & ~kGroupEvent) >> 32);
  if ((payload & kGroupEvent) != 0) {
    if (groups_[index].generation == generation) {
      finish_group(static_cast<std::int32_t>(index));
    }
  } else if (flows_[index].generation == generation) {
    finish(index);
  }
}

void FlowNetwork::finish(Index index) {
  leave_links(index);
  Flow& flow = flows_[index];
  ++flow.generation;
  flow.active = false;
  flow.group = kIsolated;
  --active_;
  free_flows_.push_back(index);
  // Last: the handler may start flows, which may move flows_.
  EventHandler& done = *flow.done;
  done.handle(flow.payload);
}

// The rest of the group is solved anew at the end of this instant: each of its connected parts
// shared a link with a flow that finishes here.
void FlowNetwork::finish_group(std::int32_t group) {
  finished_.clear();
  for (const Index index : groups_[group].flows) {
    if (flows_[index].finish <= queue_->now()) {
      finished_.push_back(index);
    }
  }
  ++groups_[group].generation;
  if (finished_.size() == groups_[group].flows.size()) {
    groups_[group].flows.clear();
    free_groups_.push_back(group);
  }
  // Handlers run inside finish(), but none can come back here: events only run from the queue.
  for (std::size_t i = 0; i < finished_.size(); ++i) {
    finish(finished_[i]);
  }
}

void FlowNetwork::solve_marked() {
  solve_pending_ = false;
  if (++visit_ == 0) {
    ++visit_;  // stamps start at 0
  }
  // Ascending, so that the groups come out the same whatever the order of the changes.
  std::sort(marked_.begin(), marked_.end());
  for (const LinkId seed : marked_) {
    if (links_[seed].visit != visit_ && !links_[seed].flows.empty()) {
      collect_component(seed);
      solve_component();
    }
  }
  marked_.clear();
}

void FlowNetwork::collect_component(LinkId seed) {
  component_links_.assign(1, seed);
  component_flows_.clear();
  links_[seed].visit = visit_;
  for (std::size_t i = 0; i < component_links_.size(); ++i) {
    for (const Member& member : links_[component_links_[i]].flows) {
      Flow& flow = flows_[member.flow];
      if (flow.visit == visit_) {
        continue;
      }
      flow.visit = visit_;
      component_flows_.push_back(member.flow);
      for (const Use& use : flow.uses) {
        if (links_[use.link].visit != visit_) {
          links_[use.link].visit = visit_;
          component_links_.push_back(use.link);
        }
      }
    }
  }
}

void FlowNetwork::solve_component() {
  ++solves_;
  std::sort(component_links_.begin(), component_links_.end());
  problem_.clear();
  for (const LinkId id : component_links_) {
    links_[id].local = static_cast<std::int32_t>(problem_.capacity.size());
    problem_.capacity.push_back(links_[id].capacity);
  }
  for (const Index index : component_flows_) {
    const Flow& flow = flows_[index];
    local_links_.clear();
    for (const Use& use : flow.uses) {
      local_links_.push_back(links_[use.link].local);
    }
    problem_.add_flow(local_links_.data(), local_links_.data() + local_links_.size(), flow.cap);
  }
  solver_.solve(problem_, rates_);
  for (const Index index : component_flows_) {
    if (flows_[index].group != kIsolated) {
      retire_group(flows_[index].group);
    } else {
      ++flows_[index].generation;  // its own event, if any, is void
    }
  }
  Time earliest = kTimeNever;
  for (std::size_t i = 0; i < component_flows_.size(); ++i) {
    const Index index = component_flows_[i];
    // An unchanged rate keeps its finish: nothing is gained by rounding again.
    if (rates_[i] != flows_[index].rate) {
      set_rate(index, rates_[i]);
    }
    earliest = std::min(earliest, flows_[index].finish);
  }
  if (component_flows_.size() == 1) {
    schedule_isolated(component_flows_.front());
    return;
  }
  const std::int32_t group = make_group();
  groups_[group].flows = component_flows_;
  for (const Index index : component_flows_) {
    flows_[index].group = group;
  }
  queue_->schedule(
      earliest, *this,
      kGroupEvent | (static_cast<std::uint64_t>(group) << 32) | groups_[group].generation);
}

void FlowNetwork::retire_group(std::int32_t group) {
  if (groups_[group].visit != visit_) {
    groups_[group].visit = visit_;
    ++groups_[group].generation;
    groups_[group].flows.clear();
    free_groups_.push_back(group);
  }
}

std::int32_t FlowNetwork::make_group() {
  if (free_groups_.empty()) {
    groups_.emplace_back();
    return static_cast<std::int32_t>(groups_.size() - 1);
  }
  const std::int32_t group = free_groups_.back();
  free_groups_.pop_back();
  return group;
}

}  // namespace foretoken
