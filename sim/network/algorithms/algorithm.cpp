#include "sim/network/algorithms/algorithm.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "sim/core/error.h"
#include "sim/network/wire_size.h"

namespace foretoken {

std::span<const CollectiveAlgorithm> collective_algorithms() {
  static const std::array<CollectiveAlgorithm, 7> table{kRing,         kTree, kOneShot, kTwoStep,
                                                        kHierarchical, kNvls, kDirect};
  return table;
}

const CollectiveAlgorithm& collective_algorithm(Algorithm id) {
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    if (algorithm.id == id) {
      return algorithm;
    }
  }
  FT_CHECK(false, "no algorithm {}", static_cast<int>(id));
}

ScheduleBuilder::ScheduleBuilder(const Topology& topology, const CollectiveCosts& costs,
                                 const CollectiveRequest& request)
    : topology_(&topology),
      costs_(&costs),
      request_(&request),
      ranks_(static_cast<int>(request.gpus.size())),
      values_(request.values),
      second_wire_(request.second_wire.value_or(request.wire)),
      schedule_(ranks_),
      paths_(static_cast<std::size_t>(ranks_) * ranks_, -1) {}

std::int64_t ScheduleBuilder::slice(int parts) const {
  const std::int64_t group =
      std::lcm<std::int64_t>(std::max(wire().group, 1), std::max(second_wire_.group, 1));
  return round_up(ceil_div(values_, parts), group);
}

Time ScheduleBuilder::step_latency(int from, int to) const {
  const int a = request_->gpus[from];
  const int b = request_->gpus[to];
  Time latency = topology_->route(a, b).latency + costs_->step_latency;
  const auto by_class = costs_->per_class.find(topology_->route_class(a, b));
  if (by_class != costs_->per_class.end()) {
    latency += by_class->second.step_latency;
  }
  const auto by_protocol = costs_->protocols.find(request_->protocol);
  if (by_protocol != costs_->protocols.end()) {
    latency += by_protocol->second.step_latency;
  }
  return slower(latency, *costs_);
}

double ScheduleBuilder::stretch() const {
  const auto it = costs_->protocols.find(request_->protocol);
  return it == costs_->protocols.end() ? 1 : 1 / it->second.efficiency;
}

int ScheduleBuilder::path(int from, int to) {
  int& known = paths_[static_cast<std::size_t>(from) * ranks_ + to];
  if (known < 0) {
    const int a = request_->gpus[from];
    const int b = request_->gpus[to];
    SchedulePath path{topology_->route(a, b).links, step_latency(from, to), kUncapped, stretch()};
    const auto it = costs_->per_class.find(topology_->route_class(a, b));
    if (it != costs_->per_class.end()) {
      path.cap = it->second.transfer_cap / costs_->slowdown * path.stretch;
    }
    known = schedule_.add_path(std::move(path));
  }
  return known;
}

TaskId ScheduleBuilder::send(int from, int to, std::int64_t values, const Format& wire,
                             const Waits& after) {
  return schedule_.add_transfer(from, path(from, to), packed_bytes(values, wire), after);
}

TaskId ScheduleBuilder::send_over(int from, SchedulePath path, std::int64_t bytes,
                                  const Waits& after) {
  return schedule_.add_transfer(from, schedule_.add_path(std::move(path)), bytes, after);
}

void ScheduleBuilder::code(int rank, CodecPhase phase, std::int64_t values, const Format& wire,
                           Waits& after) {
  if (values == 0) {
    return;
  }
  if (wire.quantised() && costs_->codec != nullptr) {
    const Time time = slower(costs_->codec(phase, values, wire), *costs_);
    after.assign(1, schedule_.add_work(rank, time, after));
  } else if (!wire.quantised() && costs_->pass != nullptr) {
    const Time time = slower(costs_->pass(phase, values), *costs_);
    after.assign(1, schedule_.add_work(rank, time, after));
  }
}

std::vector<std::vector<int>> locality_groups(const Topology& topology,
                                              const std::vector<int>& gpus) {
  const std::size_t count = gpus.size();
  LinkClass worst = LinkClass::nvlink;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j) {
      worst = std::max(worst, topology.route_class(gpus[i], gpus[j]));
    }
  }
  std::vector<std::vector<int>> groups;
  for (std::size_t r = 0; r < count; ++r) {
    const auto near = [&](const std::vector<int>& group) {
      return topology.route_class(gpus[group.front()], gpus[r]) < worst;
    };
    const auto it = std::find_if(groups.begin(), groups.end(), near);
    if (it != groups.end()) {
      it->push_back(static_cast<int>(r));
    } else {
      groups.push_back({static_cast<int>(r)});
    }
  }
  // All routes alike: every rank came out alone.
  if (groups.size() == count && count > 1) {
    std::vector<int> all(count);
    std::iota(all.begin(), all.end(), 0);
    return {all};
  }
  return groups;
}

}  // namespace foretoken
