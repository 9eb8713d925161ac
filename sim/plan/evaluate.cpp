#include "sim/plan/evaluate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "sim/core/error.h"
#include "sim/metrics/metrics.h"
#include "sim/plan/screen.h"
#include "sim/plan/threads.h"
#include "sim/serving/simulation.h"

namespace foretoken::plan {
namespace {

Simulation deployment(const Space& space, std::size_t index, Failure failure) {
  ScenarioSpec scenario = space.scenario(index);
  const Candidate& candidate = space.candidate(index);
  if (failure != Failure::none) {
    const auto replicas = place(scenario.parallel, scenario.placement, *candidate.topology);
    const auto lost = lost_replicas(replicas, *candidate.topology, failure);
    for (std::size_t i = 0; i < replicas.size(); ++i) {
      if (std::find(lost.begin(), lost.end(), i) != lost.end()) {
        continue;
      }
      for (const StagePlacement& stage : replicas[i].stages) {
        scenario.placement.groups.push_back(stage.gpus);
      }
    }
    scenario.parallel.data -= static_cast<int>(lost.size());
  }
  Simulation simulation(std::move(scenario), candidate.topology, candidate.cost,
                        space.problem().workload);
  simulation.share_collectives(candidate.collectives);
  return simulation;
}

// One deployment, run at one rung of the ladder after another.
class Ladder {
 public:
  // `stops`: runs end as soon as a target is missed for certain.
  Ladder(const Space& space, const Simulation& simulation, const CostDraw& draw, bool stops)
      : space_(space),
        simulation_(simulation),
        draw_(draw),
        timers_(simulation.timers(draw, false)) {
    if (stops) {
      stop_ = stop_rule();
    }
  }

  bool meets(int rung) {
    const auto [it, fresh] = known_.try_emplace(rung, false);
    if (fresh) {
      it->second = simulate(rung);
    }
    return it->second;
  }

  // Of the rungs from `low`, which meets, up to `high`: bisection of 0 .. 2^n, whose probes above
  // `high` count as missed, so that the probes do not depend on how far off `high` is.
  // Stops as soon as the answer lies below `least`; the outcome is then abandoned.
  void climb(int high, int least) {
    int low = 0, end = 1;
    while (end <= space_.max_rung()) {
      end *= 2;
    }
    while (end - low > 1 && end > least) {
      const int middle = low + (end - low) / 2;
      (middle <= high && meets(middle) ? low : end) = middle;
    }
    outcome_.abandoned = end <= least;
    outcome_.rung = low;
  }

  // The highest rung that meets, from -max_rung up to `high`: in growing steps from `guess`, then
  // bisection. Below the ladder when none does.
  void find(int guess, int high) {
    int low = std::min(guess, high), end = high + 1;
    const int bottom = -space_.max_rung() - 1;
    for (int step = 1; low > bottom && !meets(low); step *= 2) {
      end = low;
      low = std::max(bottom, low - step);
    }
    for (int step = 1; end > high && low + step <= high; step *= 2) {
      if (!meets(low + step)) {
        end = low + step;
        break;
      }
      low += step;
    }
    while (end - low > 1) {
      const int middle = low + (end - low) / 2;
      (meets(middle) ? low : end) = middle;
    }
    outcome_.rung = low;
  }

  const Outcome& outcome() const { return outcome_; }

 private:
  // More misses than this put the order statistic below the percentile above the target.
  StopRule stop_rule() const {
    StopRule rule;
    rule.targets = space_.targets();
    rule.first_scored = warmup_requests(simulation_.workload().requests.size(),
                                        simulation_.scenario().workload.warmup);
    rule.may_miss = static_cast<std::int64_t>(space_.demand().may_miss());
    return rule;
  }

  bool simulate(int rung) {
    ++outcome_.runs;
    const WorkloadSpec& workload = simulation_.scenario().workload;
    const RunRecord record =
        rung == 0 ? simulation_.run(timers_, draw_, simulation_.workload(), stop_)
                  : simulation_.run(
                        timers_, draw_,
                        at_rate(simulation_.workload(), space_.required_rate(), space_.rate(rung)),
                        stop_);
    if (record.stopped_early && rung != 0) {
      return false;
    }
    const SloSpec& slo = space_.targets();
    const TargetLatencies at = target_latencies(record, workload.warmup, slo.percentile);
    const bool overloaded = judge_overload(record).has_value();
    const bool meets = !record.stopped_early && !overloaded &&
                       latency_share(slo, at.ttft / 1e3, at.tpot / 1e3, at.e2e / 1e3) <= 1;
    if (rung == 0) {
      note(record, at, overloaded, meets);
    }
    return meets;
  }

  void note(const RunRecord& record, const TargetLatencies& at, bool overloaded, bool meets) {
    outcome_.meets = meets;
    outcome_.overloaded = overloaded;
    outcome_.ttft = at.ttft / 1e3;
    outcome_.tpot = at.tpot / 1e3;
    outcome_.e2e = at.e2e / 1e3;
    outcome_.peak_running = record.peak_running;
    std::int64_t tokens = 0, finished = 0;
    for (const RequestRecord& request : record.requests) {
      const bool done = request.finish != kTimeNever;
      tokens += done ? request.output_tokens : 0;
      finished += done ? 1 : 0;
    }
    outcome_.finished = record.stopped_early ? static_cast<double>(finished) /
                                                   static_cast<double>(record.requests.size())
                                             : 1;
    outcome_.output_throughput =
        record.end > kTimeZero ? static_cast<double>(tokens) / to_seconds(record.end) : 0;
  }

  const Space& space_;
  const Simulation& simulation_;
  CostDraw draw_;
  FleetTimers timers_;
  std::optional<StopRule> stop_;
  std::map<int, bool> known_;
  Outcome outcome_;
};

// The least rung of use to a plan of this latency; -1: any.
int least_rung(const std::vector<RungFloor>& floors, int level) {
  int least = -1;
  for (const RungFloor& floor : floors) {
    least = floor.level <= level ? std::max(least, floor.rung) : least;
  }
  return least;
}

Outcome search(const Space& space, const Task& task, Ladder& ladder) {
  if (!ladder.meets(0)) {
    return ladder.outcome();
  }
  const Outcome& at = ladder.outcome();
  const double share = latency_share(space.targets(), at.ttft, at.tpot, at.e2e);
  ladder.climb(task.high, least_rung(task.floors, latency_level(share, space.spec().resolution)));
  return ladder.outcome();
}

}  // namespace

Workload at_rate(const Workload& workload, double base, double rate) {
  Workload scaled = workload;
  for (Request& request : scaled.requests) {
    request.arrival = Time(static_cast<std::int64_t>(
        std::llround(static_cast<double>(request.arrival.count()) * (base / rate))));
  }
  return scaled;
}

std::vector<std::size_t> lost_replicas(const std::vector<ReplicaPlacement>& replicas,
                                       const Topology& topology, Failure failure) {
  std::vector<std::size_t> lost;
  if (failure == Failure::gpu) {
    lost.push_back(0);
  }
  if (failure != Failure::node) {
    return lost;
  }
  std::map<int, std::set<std::size_t>> by_node;
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    for (const StagePlacement& stage : replicas[i].stages) {
      for (const int gpu : stage.gpus) {
        by_node[topology.node_of_gpu(gpu)].insert(i);
      }
    }
  }
  for (const auto& [node, touched] : by_node) {
    if (touched.size() > lost.size()) {
      lost.assign(touched.begin(), touched.end());
    }
  }
  return lost;
}

Outcome evaluate(const Space& space, const Task& task) {
  const Simulation simulation = deployment(space, task.configuration, task.failure);
  const bool drawn = task.kind == Task::Kind::replicate;
  Ladder ladder(space, simulation,
                drawn ? CostDraw(space.problem().scenario.seed, task.replication, task.replications)
                      : CostDraw(),
                /*stops=*/task.kind == Task::Kind::search || task.kind == Task::Kind::capacity);
  if (task.kind == Task::Kind::search) {
    return search(space, task, ladder);
  }
  if (drawn || task.kind == Task::Kind::measure) {
    ladder.meets(0);
  }
  if (task.kind == Task::Kind::measure) {
    return ladder.outcome();
  }
  ladder.find(task.guess, task.high);
  return ladder.outcome();
}

void ThreadRunner::run(std::span<const Task> tasks,
                       const std::function<void(std::size_t, const Outcome&)>& done) {
  std::mutex mutex;
  for_each_index(tasks.size(), jobs_, [&](std::size_t i) {
    const Outcome outcome = evaluate(space_, tasks[i]);
    const std::lock_guard lock(mutex);
    done(i, outcome);
  });
}

}  // namespace foretoken::plan
