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
  const double picos = bytes / rate * kPicosPerSecond - kNoise;
  FT_CHECK(picos < 9e18, "a flow would take longer than the clock can count");
  const auto whole = static_cast<std::int64_t>(picos);
  return Time(whole + (static_cast<double>(whole) < picos ? 1 : 0));
}

}  // namespace

FlowNetwork::FlowNetwork(EventQueue& queue, std::vector<double> capacity)
    : queue_(&queue), links_(capacity.size()) {
  for (std::size_t l = 0; l < capacity.size(); ++l) {
    FT_CHECK(capacity[l] > 0, "link {} has no capacity", l);
    links_[l].capacity = capacity[l];
  }
}

FlowId FlowNetwork::make_flow(std::size_t links) {
  if (links > stride_) {
    std::vector<Use> longer(flows_.size() * links);
    for (std::size_t f = 0; f < flows_.size(); ++f) {
      std::copy_n(&uses_[f * stride_], flows_[f].use_count, &longer[f * links]);
    }
    uses_ = std::move(longer);
    stride_ = links;
  }
  if (!free_flows_.empty()) {
    const Index index = free_flows_.back();
    free_flows_.pop_back();
    return index;
  }
  flows_.emplace_back();
  rate_.push_back(0);
  finish_.push_back(kTimeNever);
  group_.push_back(kIsolated);
  visited_.push_back(0);
  local_.push_back(0);
  uses_.resize(flows_.size() * stride_);
  return static_cast<Index>(flows_.size() - 1);
}

FlowId FlowNetwork::start(std::span<const LinkId> links, double bytes, EventHandler& done,
                          std::uint64_t payload, double cap) {
  FT_CHECK(bytes > 0 && cap > 0 && !links.empty());
  const Index index = make_flow(links.size());
  Flow& flow = flows_[index];
  flow.remaining = bytes;
  flow.updated = queue_->now();
  flow.done = &done;
  flow.payload = payload;
  flow.cap = cap;
  flow.use_count = static_cast<Index>(links.size());
  rate_[index] = 0;
  finish_[index] = kTimeNever;
  group_[index] = kIsolated;
  ++active_;
  join_links(index, links);
  return index;
}

// Fast path: alone on all its links, a flow needs no solve.
void FlowNetwork::join_links(Index index, std::span<const LinkId> links) {
  Use* const use = uses(index);
  double rate = flows_[index].cap;
  bool alone = true;
  for (std::size_t i = 0; i < links.size(); ++i) {
    Link& link = links_[links[i]];
    use[i] = {links[i], static_cast<Index>(link.flows.size())};
    alone &= link.flows.empty();
    link.flows.push_back({index, static_cast<Index>(i)});
    rate = std::min(rate, link.capacity);
  }
  if (alone) {
    set_rate(index, rate);
    schedule_isolated(index);
  } else {
    kept_group_ = kIsolated;
    mark(links.front());
  }
}

void FlowNetwork::leave_links(Index index) {
  const Use* const use = uses(index);
  for (Index i = 0; i < flows_[index].use_count; ++i) {
    std::vector<Member>& members = links_[use[i].link].flows;
    const Member last = members.back();
    members[use[i].position] = last;
    uses(last.flow)[last.use].position = use[i].position;
    members.pop_back();
    if (!members.empty()) {
      mark(use[i].link);
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
  flow.remaining -= rate_[index] * to_seconds(now - flow.updated);
  flow.remaining = std::max(flow.remaining, 0.0);
  flow.updated = now;
  rate_[index] = rate;
  finish_[index] = now + time_to_send(flow.remaining, rate);
}

void FlowNetwork::schedule_isolated(Index index) {
  group_[index] = kIsolated;
  queue_->schedule(finish_[index], *this,
                   (static_cast<std::uint64_t>(index) << 32) | ++flows_[index].generation);
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
  if (group_[index] != kIsolated) {
    --groups_[group_[index]].active;
    if (group_[index] == kept_group_) {
      gone_[local_[index]] = 1;
      ++gone_count_;
    }
    group_[index] = kIsolated;
  }
  --active_;
  free_flows_.push_back(index);
  // Last: the handler may start flows, which may move flows_.
  EventHandler& done = *flow.done;
  done.handle(flow.payload);
}

// What shared a link with a flow that finishes here is solved anew at the end of this instant. A
// group may have come apart since it was collected, so the rest of it gets its next event in any
// case.
void FlowNetwork::finish_group(std::int32_t group) {
  finished_.clear();
  Time next = kTimeNever;
  for (const Index index : groups_[group].flows) {
    if (group_[index] != group) {
      continue;
    }
    if (finish_[index] <= queue_->now()) {
      finished_.push_back(index);
    } else {
      next = std::min(next, finish_[index]);
    }
  }
  if (finished_.size() == groups_[group].active) {
    retire_group(group);
  } else {
    schedule_group(group, next);
  }
  // Handlers run inside finish(), but none can come back here: events only run from the queue.
  for (std::size_t i = 0; i < finished_.size(); ++i) {
    finish(finished_[i]);
  }
}

void FlowNetwork::solve_marked() {
  solve_pending_ = false;
  if (only_finishes()) {
    solve_again();
    marked_.clear();
    return;
  }
  pass_begin_ = visit_ + 1;
  // Ascending, so that the components come out in the same order whatever that of the changes.
  std::sort(marked_.begin(), marked_.end());
  for (const LinkId seed : marked_) {
    if (links_[seed].visit < pass_begin_ && !links_[seed].flows.empty()) {
      collect_component(seed);
      solve_component();
    }
  }
  marked_.clear();
}

// Whether all that has changed is that flows of the kept component finished, few enough of them
// that passing over their places costs less than collecting anew.
bool FlowNetwork::only_finishes() const {
  if (kept_group_ == kIsolated || 16 * gone_count_ > gone_.size()) {
    return false;
  }
  return std::all_of(marked_.begin(), marked_.end(),
                     [&](LinkId link) { return links_[link].visit == visit_; });
}

void FlowNetwork::solve_again() {
  ++solves_;
  solver_.solve(problem_, rates_, &gone_);
  const std::vector<Index>& flows = groups_[kept_group_].flows;
  Time earliest = kTimeNever;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    if (gone_[i] != 0) {
      continue;
    }
    const Index index = flows[i];
    if (rates_[i] != rate_[index]) {
      set_rate(index, rates_[i]);
    }
    earliest = std::min(earliest, finish_[index]);
  }
  schedule_group(kept_group_, earliest);
}

void FlowNetwork::schedule_group(std::int32_t group, Time at) {
  queue_->schedule(
      at, *this,
      kGroupEvent | (static_cast<std::uint64_t>(group) << 32) | ++groups_[group].generation);
}

std::int32_t FlowNetwork::local_link(LinkId id) {
  Link& link = links_[id];
  if (link.visit != visit_) {
    link.visit = visit_;
    link.local = static_cast<std::int32_t>(component_links_.size());
    component_links_.push_back(id);
    problem_.capacity.push_back(link.capacity);
  }
  return link.local;
}

void FlowNetwork::visit_flow(Index index) {
  visited_[index] = visit_;
  local_[index] = static_cast<std::int32_t>(component_flows_.size());
  component_flows_.push_back(index);
  const Flow& flow = flows_[index];
  const Use* const use = uses(index);
  for (Index i = 0; i < flow.use_count; ++i) {
    problem_.links.push_back(local_link(use[i].link));
  }
  problem_.first.push_back(static_cast<std::int32_t>(problem_.links.size()));
  problem_.cap.push_back(flow.cap);
  any_cap_ |= flow.cap < kUncapped;
}

// Breadth first over links and flows; writes the problem as it goes.
void FlowNetwork::collect_component(LinkId seed) {
  ++visit_;
  FT_CHECK(visit_ != 0, "more solves than stamps");
  kept_group_ = kIsolated;
  problem_.clear();
  component_links_.clear();
  component_flows_.clear();
  any_cap_ = false;
  problem_.first_of_link.push_back(0);
  local_link(seed);
  for (std::size_t i = 0; i < component_links_.size(); ++i) {
    for (const Member& member : links_[component_links_[i]].flows) {
      if (visited_[member.flow] != visit_) {
        visit_flow(member.flow);
      }
      problem_.flows_of_link.push_back(local_[member.flow]);
    }
    problem_.first_of_link.push_back(static_cast<std::int32_t>(problem_.flows_of_link.size()));
  }
  problem_.id.assign(component_links_.begin(), component_links_.end());
  if (!any_cap_) {
    problem_.cap.clear();
  }
}

// Returns the earliest finish. An unchanged rate keeps its finish: nothing is gained by rounding
// again.
Time FlowNetwork::update_rates() {
  Time earliest = kTimeNever;
  for (std::size_t i = 0; i < component_flows_.size(); ++i) {
    const Index index = component_flows_[i];
    if (const std::int32_t old = group_[index]; old != kIsolated) {
      group_[index] = kIsolated;
      if (--groups_[old].active == 0) {
        retire_group(old);
      }
    } else {
      ++flows_[index].generation;  // its own event, if any, is void
    }
    if (rates_[i] != rate_[index]) {
      set_rate(index, rates_[i]);
    }
    earliest = std::min(earliest, finish_[index]);
  }
  return earliest;
}

void FlowNetwork::solve_component() {
  ++solves_;
  solver_.solve(problem_, rates_);
  const Time earliest = update_rates();
  if (component_flows_.size() == 1) {
    schedule_isolated(component_flows_.front());
    return;
  }
  const std::int32_t group = make_group();
  for (const Index index : component_flows_) {
    group_[index] = group;
  }
  groups_[group].active = static_cast<Index>(component_flows_.size());
  groups_[group].flows.swap(component_flows_);
  kept_group_ = group;
  gone_.assign(groups_[group].flows.size(), 0);
  gone_count_ = 0;
  schedule_group(group, earliest);
}

void FlowNetwork::retire_group(std::int32_t group) {
  ++groups_[group].generation;
  groups_[group].flows.clear();
  free_groups_.push_back(group);
  if (group == kept_group_) {
    kept_group_ = kIsolated;
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
