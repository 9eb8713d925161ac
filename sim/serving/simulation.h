// A scenario made ready, and its runs. Everything here is immutable after construction; runs of
// different replications may go in parallel.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/cost/cost_model.h"
#include "sim/metrics/metrics.h"
#include "sim/model/graph_builder.h"
#include "sim/scheduler/scheduler.h"
#include "sim/serving/fleet.h"
#include "sim/serving/memory.h"
#include "sim/serving/placement.h"
#include "sim/serving/workload.h"
#include "sim/spec/profile.h"
#include "sim/spec/scenario.h"
#include "sim/topology/topology.h"

namespace foretoken {

// The stages of every replica, with what they remember of step times. Not for several threads at
// once; refers to the simulation that made it.
using FleetTimers = std::vector<std::vector<std::shared_ptr<StepTimer>>>;

class Simulation {
 public:
  // `profile`: the stacked profiles. Throws InputError when the parts do not go together: degrees,
  // memory, missing numbers, a trace without arrivals.
  Simulation(const ScenarioSpec& scenario, Topology topology, Profile profile, Workload workload);

  // With costs that several simulations share; host times are theirs (with_host_times).
  Simulation(ScenarioSpec scenario, Topology topology, std::shared_ptr<const CostModel> cost,
             Workload workload);
  // With a cluster that they share too.
  Simulation(ScenarioSpec scenario, std::shared_ptr<const Topology> topology,
             std::shared_ptr<const CostModel> cost, Workload workload);

  // Recording changes no number. Replicas that share links run event by event, every collective as
  // flows beside the others' and nothing of it remembered; `exact` then changes nothing.
  // `progress` may be empty; it is told of finished requests, now and then.
  using Progress = std::function<void(std::int64_t done, std::int64_t total)>;
  RunRecord run(const CostDraw& draw, bool exact, const Recording& recording = {},
                const Progress& progress = {}) const;
  // The same in two parts, for several workloads on one deployment: a run finds in the timers what
  // earlier ones have computed. `draw` is that of the timers. `apart`: replicas whose links are
  // alike share no timers either.
  FleetTimers timers(const CostDraw& draw, bool exact, bool apart = false) const;
  // With `stop` the run may end early (RunRecord::stopped_early).
  RunRecord run(const FleetTimers& timers, const CostDraw& draw, const Workload& workload,
                const std::optional<StopRule>& stop = std::nullopt, const Recording& recording = {},
                const Progress& progress = {}) const;

  const ScenarioSpec& scenario() const { return scenario_; }
  const Topology& topology() const { return *topology_; }
  const Profile& profile() const { return cost_->profile(); }
  const CostModel& cost() const { return *cost_; }
  std::shared_ptr<const CostModel> shared_cost() const { return cost_; }
  const GraphBuilder& builder() const { return builder_; }
  const MemoryPlan& memory() const { return memory_; }
  const Workload& workload() const { return workload_; }
  const std::vector<ReplicaPlacement>& placements() const { return placements_; }
  bool replicas_share_links() const { return shares_links_; }
  // From now on durations of collectives are remembered there, too. REQUIRES: what else shares the
  // memory has the same topology and the same profile.
  void share_collectives(std::shared_ptr<CollectiveMemory> memory) {
    collectives_ = std::move(memory);
  }
  StepContext step_context() const;
  SchedulerLimits scheduler_limits() const;

 private:
  ScenarioSpec scenario_;
  std::shared_ptr<const Topology> topology_;
  std::shared_ptr<const CostModel> cost_;
  GraphBuilder builder_;
  std::vector<ReplicaPlacement> placements_;
  bool shares_links_;
  MemoryPlan memory_;
  Workload workload_;
  std::shared_ptr<CollectiveMemory> collectives_ = std::make_shared<CollectiveMemory>();
};

// The engine's host times, where the profile has none of its own: the scenario's numbers override
// the profile's, the preset's fill what both leave open.
Profile with_host_times(Profile profile, const EngineSpec& engine);

// Spread (log) of what the engine's constants leave unexplained in a metric, by its JSON name.
// Where arrivals set the rate, the engine does not.
double unexplained_spread(const Profile& profile, ArrivalSpec::Kind arrivals,
                          const std::string& metric);

struct Result {
  Summary point;                              // replication-free estimate
  RunRecord record;                           // of the point estimate
  std::map<std::string, Interval> intervals;  // by metric; empty without replications
  std::vector<Summary> runs;                  // of the replications, in order
  int replications = 0;
  double level = 0.9;
};

struct RunOptions {
  int replications = 16;
  bool exact = false;
  int threads = 0;           // 0: all cores
  Recording recording = {};  // of the point estimate
  std::function<void(int done, int total)>
      progress;                   // may be empty; called from one thread at a time
  Simulation::Progress requests;  // of the point estimate, which comes first; may be empty
};

// The point estimate and `replications` runs with drawn costs on the same requests. The result does
// not depend on the number of threads.
Result simulate(const Simulation& simulation, const RunOptions& options);

}  // namespace foretoken
