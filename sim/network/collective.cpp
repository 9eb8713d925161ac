#include "sim/network/collective.h"

#include <algorithm>
#include <array>
#include <set>

#include "sim/core/error.h"
#include "sim/network/wire_size.h"

namespace foretoken {
namespace {

// Builds the schedule of one collective. Slices are whole groups of the wire format, so that a rank
// can quantise, send and sum each on its own.
class CollectiveBuilder {
 public:
  CollectiveBuilder(const Topology& topology, const CollectiveCosts& costs,
                    const CollectiveRequest& request)
      : topology_(&topology),
        costs_(&costs),
        request_(&request),
        ranks_(static_cast<int>(request.gpus.size())),
        schedule_(ranks_),
        paths_(static_cast<std::size_t>(ranks_) * ranks_, -1) {
    const std::int64_t group = std::max(request.wire.group, 1);
    slice_values_ = round_up(ceil_div(request.values, ranks_), group);
    slice_bytes_ = packed_bytes(slice_values_, request.wire);
  }

  Schedule build(Algorithm algorithm);

 private:
  void ring_all_reduce();
  void ring_all_gather();
  void ring_reduce_scatter();
  void two_step_all_reduce();
  void direct_all_gather();
  void direct_reduce_scatter();
  void direct_all_to_all();
  void send_recv();

  bool coded() const { return request_->wire.quantised() && costs_->codec != nullptr; }
  // Appends codec work to `after`, or leaves it as it is when the wire is raw.
  void code(int rank, std::int64_t values, std::vector<TaskId>& after);
  TaskId send(int from, int to, std::int64_t bytes, const std::vector<TaskId>& after);
  int path(int from, int to);
  int next(int rank) const { return (rank + 1) % ranks_; }
  int previous(int rank) const { return (rank + ranks_ - 1) % ranks_; }
  // One step of a ring: every rank sends a slice to the next when it has received the last one.
  void ring_steps(int steps, bool reduce, std::vector<std::vector<TaskId>>& ready);

  const Topology* topology_;
  const CollectiveCosts* costs_;
  const CollectiveRequest* request_;
  int ranks_;
  std::int64_t slice_values_ = 0;
  std::int64_t slice_bytes_ = 0;
  Schedule schedule_;
  std::vector<int> paths_;  // by from x ranks + to
};

int CollectiveBuilder::path(int from, int to) {
  int& known = paths_[static_cast<std::size_t>(from) * ranks_ + to];
  if (known < 0) {
    const int a = request_->gpus[from];
    const int b = request_->gpus[to];
    Route route = topology_->route(a, b);
    SchedulePath path;
    path.latency = route.latency + costs_->step_latency;
    const auto it = costs_->per_class.find(topology_->route_class(a, b));
    if (it != costs_->per_class.end()) {
      path.latency += it->second.step_latency;
    }
    path.links = std::move(route.links);
    known = schedule_.add_path(std::move(path));
  }
  return known;
}

TaskId CollectiveBuilder::send(int from, int to, std::int64_t bytes,
                               const std::vector<TaskId>& after) {
  return schedule_.add_transfer(from, path(from, to), bytes, after);
}

void CollectiveBuilder::code(int rank, std::int64_t values, std::vector<TaskId>& after) {
  if (coded()) {
    after.assign(1, schedule_.add_work(rank, costs_->codec(values, request_->wire), after));
  }
}

// `ready[r]` is what rank r's next send waits for; afterwards, what holds its last slice. A rank's
// sends leave in order, so each also waits for its own last one.
void CollectiveBuilder::ring_steps(int steps, bool reduce,
                                   std::vector<std::vector<TaskId>>& ready) {
  std::vector<TaskId> sent(ranks_, -1);
  for (int step = 0; step < steps; ++step) {
    std::vector<TaskId> sending(ranks_);
    for (int r = 0; r < ranks_; ++r) {
      if (sent[r] >= 0) {
        ready[r].push_back(sent[r]);
      }
      sending[r] = send(r, next(r), slice_bytes_, ready[r]);
    }
    for (int r = 0; r < ranks_; ++r) {
      ready[r].assign(1, sending[previous(r)]);
      if (reduce) {
        // Dequantise, add the own part, quantise for the next rank: one kernel over the slice.
        code(r, slice_values_, ready[r]);
      }
    }
    sent = std::move(sending);
  }
}

void CollectiveBuilder::ring_all_reduce() {
  std::vector<std::vector<TaskId>> ready(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_, ready[r]);
  }
  ring_steps(ranks_ - 1, true, ready);
  ring_steps(ranks_ - 1, false, ready);
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_ * ranks_, ready[r]);
  }
}

void CollectiveBuilder::ring_all_gather() {
  std::vector<std::vector<TaskId>> ready(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_, ready[r]);
  }
  ring_steps(ranks_ - 1, false, ready);
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_ * ranks_, ready[r]);
  }
}

void CollectiveBuilder::ring_reduce_scatter() {
  std::vector<std::vector<TaskId>> ready(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_, ready[r]);
  }
  ring_steps(ranks_ - 1, true, ready);
}

// Flash Communication (arXiv 2412.04964): all-to-all of quantised slices, local sum, quantised
// all-gather.
void CollectiveBuilder::two_step_all_reduce() {
  std::vector<std::vector<TaskId>> ready(ranks_);
  std::vector<std::vector<TaskId>> received(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_ * ranks_, ready[r]);
  }
  for (int r = 0; r < ranks_; ++r) {
    for (int to = next(r); to != r; to = next(to)) {
      received[to].push_back(send(r, to, slice_bytes_, ready[r]));
    }
  }
  for (int r = 0; r < ranks_; ++r) {
    // Reads a slice of every rank, sums, and quantises one slice.
    code(r, slice_values_ * (ranks_ + 1), received[r]);
  }
  std::vector<std::vector<TaskId>> gathered(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    for (int to = next(r); to != r; to = next(to)) {
      gathered[to].push_back(send(r, to, slice_bytes_, received[r]));
    }
  }
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_ * ranks_, gathered[r]);
  }
}

void CollectiveBuilder::direct_all_gather() {
  std::vector<std::vector<TaskId>> received(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    std::vector<TaskId> ready;
    code(r, slice_values_, ready);
    for (int to = next(r); to != r; to = next(to)) {
      received[to].push_back(send(r, to, slice_bytes_, ready));
    }
  }
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_ * ranks_, received[r]);
  }
}

// What a rank sends are slices of its own vector, and it keeps one: quantise all, read one per
// rank.
void CollectiveBuilder::direct_reduce_scatter() {
  std::vector<std::vector<TaskId>> received(ranks_);
  for (int r = 0; r < ranks_; ++r) {
    std::vector<TaskId> ready;
    code(r, slice_values_ * ranks_, ready);
    for (int to = next(r); to != r; to = next(to)) {
      received[to].push_back(send(r, to, slice_bytes_, ready));
    }
  }
  for (int r = 0; r < ranks_; ++r) {
    code(r, slice_values_ * ranks_, received[r]);
  }
}

void CollectiveBuilder::direct_all_to_all() { direct_reduce_scatter(); }

void CollectiveBuilder::send_recv() {
  const std::int64_t bytes = packed_bytes(request_->values, request_->wire);
  std::vector<TaskId> ready;
  code(0, request_->values, ready);
  for (int to = 1; to < ranks_; ++to) {
    std::vector<TaskId> received{send(0, to, bytes, ready)};
    code(to, request_->values, received);
  }
}

Schedule CollectiveBuilder::build(Algorithm algorithm) {
  const CollectiveKind kind = request_->kind;
  const auto index = static_cast<std::size_t>(kind);
  if (kind == CollectiveKind::all_reduce && algorithm == Algorithm::ring) {
    ring_all_reduce();
  } else if (kind == CollectiveKind::all_reduce && algorithm == Algorithm::two_step) {
    two_step_all_reduce();
  } else if (kind == CollectiveKind::all_gather && algorithm == Algorithm::ring) {
    ring_all_gather();
  } else if (kind == CollectiveKind::all_gather && algorithm == Algorithm::direct) {
    direct_all_gather();
  } else if (kind == CollectiveKind::reduce_scatter && algorithm == Algorithm::ring) {
    ring_reduce_scatter();
  } else if (kind == CollectiveKind::reduce_scatter && algorithm == Algorithm::direct) {
    direct_reduce_scatter();
  } else if (kind == CollectiveKind::all_to_all && algorithm == Algorithm::direct) {
    direct_all_to_all();
  } else if (kind == CollectiveKind::send_recv && algorithm == Algorithm::direct) {
    send_recv();
  } else {
    throw InputError(fmt::format("algorithm \"{}\" does not do {}; try auto", name(algorithm),
                                 kCollectiveKindNames[index]));
  }
  return std::move(schedule_);
}

void check_group(const Topology& topology, const CollectiveRequest& request) {
  FT_CHECK(request.values >= 0);
  std::set<int> seen;
  for (const int gpu : request.gpus) {
    if (gpu < 0 || gpu >= topology.gpu_count()) {
      throw InputError(SourceMark{topology.spec().file, 0, 0}, "",
                       fmt::format("there is no GPU {}; the cluster has GPUs 0 to {}", gpu,
                                   topology.gpu_count() - 1));
    }
    if (!seen.insert(gpu).second) {
      throw InputError(fmt::format("GPU {} stands twice in a group; give each rank its own", gpu));
    }
  }
}

}  // namespace

std::string_view name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::automatic:
      return "auto";
    case Algorithm::ring:
      return "ring";
    case Algorithm::two_step:
      return "two_step";
    case Algorithm::direct:
      return "direct";
  }
  return "";
}

Algorithm resolve_algorithm(const CollectiveRequest& request) {
  if (request.algorithm != Algorithm::automatic) {
    return request.algorithm;
  }
  switch (request.kind) {
    case CollectiveKind::all_reduce:
      return request.wire.quantised() ? Algorithm::two_step : Algorithm::ring;
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
      return request.wire.quantised() ? Algorithm::direct : Algorithm::ring;
    case CollectiveKind::all_to_all:
    case CollectiveKind::send_recv:
      break;
  }
  return Algorithm::direct;
}

std::vector<double> effective_capacity(const Topology& topology, const CollectiveCosts& costs) {
  std::array<double, 6> efficiency;
  efficiency.fill(1);
  for (const auto& [link_class, constants] : costs.per_class) {
    efficiency[static_cast<std::size_t>(link_class)] = constants.efficiency;
  }
  std::vector<double> capacity(topology.link_count());
  for (int l = 0; l < topology.link_count(); ++l) {
    const LinkSpec& link = topology.link(l);
    capacity[l] =
        link.bandwidth.bytes_per_second * efficiency[static_cast<std::size_t>(link.link_class)];
  }
  return capacity;
}

Schedule make_schedule(const Topology& topology, const CollectiveCosts& costs,
                       const CollectiveRequest& request) {
  check_group(topology, request);
  FT_CHECK(request.gpus.size() > 1 && request.values > 0);
  return CollectiveBuilder(topology, costs, request).build(resolve_algorithm(request));
}

CollectiveTime simulate_alone(const Topology& topology, const CollectiveCosts& costs,
                              const CollectiveRequest& request) {
  CollectiveTime result;
  result.algorithm = resolve_algorithm(request);
  check_group(topology, request);
  if (request.gpus.size() <= 1 || request.values == 0) {
    return result;
  }
  const Schedule schedule = make_schedule(topology, costs, request);
  EventQueue queue;
  FlowNetwork network(queue, effective_capacity(topology, costs));
  ScheduleRun run(queue, network, schedule);
  run.start();
  queue.run();
  FT_CHECK(run.done(), "a collective stopped before its end");
  const ScheduleTime time = run.time();
  result.total = costs.t0 + time.total;
  result.latency = costs.t0 + time.latency;
  result.wire = time.wire;
  result.codec = time.work;
  for (int r = 0; r < schedule.ranks(); ++r) {
    result.wire_bytes_per_rank = std::max(result.wire_bytes_per_rank, schedule.bytes_sent(r));
  }
  return result;
}

}  // namespace foretoken
