#include "sim/serving/simulation.h"

#include <algorithm>
#include <deque>

#include "sim/core/error.h"
#include "sim/serving/fleet.h"
#include "sim/serving/in_parallel.h"

namespace foretoken {
namespace {

void set_if(Profile& profile, const char* key, const std::optional<Time>& value) {
  if (value) {
    profile.parameters.insert_or_assign(
        key, Parameter{to_seconds(*value), Provenance::assumed, "stated in the scenario"});
  }
}

std::vector<Summary> run_replications(const Simulation& simulation, const RunOptions& options) {
  const int total = options.replications;
  std::vector<Summary> summaries(static_cast<std::size_t>(total));
  in_parallel(total, options.threads, options.progress, [&](int i) {
    const CostDraw draw(simulation.scenario().seed, i, total);
    const RunRecord record = simulation.run(draw, options.exact);
    summaries[static_cast<std::size_t>(i)] =
        summarise(record, simulation.scenario().workload.warmup, simulation.scenario().slo);
  });
  return summaries;
}

std::map<std::string, Interval> make_intervals(const Simulation& simulation, const Summary& point,
                                               const std::vector<Summary>& runs, double level) {
  std::map<std::string, Interval> intervals;
  std::vector<std::map<std::string, double>> values;
  values.reserve(runs.size());
  for (const Summary& run : runs) {
    const auto metrics = run.metrics();
    values.emplace_back(metrics.begin(), metrics.end());
  }
  const Profile& profile = simulation.profile();
  const ArrivalSpec::Kind arrivals = simulation.scenario().workload.arrivals.kind;
  for (const auto& [name, value] : point.metrics()) {
    std::vector<double> sample;
    for (const auto& run : values) {
      if (const auto it = run.find(name); it != run.end()) {
        sample.push_back(it->second);
      }
    }
    if (sample.size() >= 2) {
      Interval interval = replication_interval(std::move(sample), level);
      // Where a metric bends (a queue that forms), the draws may all lie on one side of the point.
      interval.low = std::min(interval.low, value);
      interval.high = std::max(interval.high, value);
      intervals.emplace(
          name, widened(interval, value, unexplained_spread(profile, arrivals, name), level));
    }
  }
  return intervals;
}

}  // namespace

double unexplained_spread(const Profile& profile, ArrivalSpec::Kind arrivals,
                          const std::string& metric) {
  if (metric.ends_with("_ttft_ms")) {
    return profile.value_or("host.residual_ttft", 0);
  }
  const bool by_engine =
      arrivals == ArrivalSpec::Kind::closed_loop || arrivals == ArrivalSpec::Kind::all_at_once;
  const bool time = metric.ends_with("_ms");
  return time || by_engine ? profile.value_or("host.residual_time", 0) : 0;
}

Profile with_host_times(Profile profile, const EngineSpec& engine) {
  const HostTimes& preset = engine.host_default;
  const auto fill = [&](const char* key, double value) {
    profile.parameters.try_emplace(key, Parameter{value, Provenance::assumed, preset.source});
  };
  if (profile.find("host.step") == nullptr) {  // else another host's, measured with its own spread
    fill("host.residual_time", preset.residual_time);
    fill("host.residual_ttft", preset.residual_ttft);
  }
  fill("host.step", to_seconds(preset.step));
  fill("host.sequence", to_seconds(preset.sequence));
  fill("host.prefill_step", to_seconds(preset.prefill_step));
  fill("host.request", to_seconds(preset.request));
  if (preset.ranks > kTimeZero) {  // a term that is not there weakens no provenance
    fill("host.ranks", to_seconds(preset.ranks));
  }
  fill("host.sd_family", preset.sd);
  set_if(profile, "host.step", engine.host_step);
  set_if(profile, "host.sequence", engine.host_sequence);
  set_if(profile, "host.prefill_step", engine.host_prefill_step);
  set_if(profile, "host.request", engine.host_request);
  set_if(profile, "host.ranks", engine.host_ranks);
  return profile;
}

Simulation::Simulation(const ScenarioSpec& scenario, Topology topology, Profile profile,
                       Workload workload)
    : Simulation(
          scenario, std::move(topology),
          std::make_shared<const CostModel>(with_host_times(std::move(profile), scenario.engine)),
          std::move(workload)) {}

Simulation::Simulation(ScenarioSpec scenario, Topology topology,
                       std::shared_ptr<const CostModel> cost, Workload workload)
    : Simulation(std::move(scenario), std::make_shared<const Topology>(std::move(topology)),
                 std::move(cost), std::move(workload)) {}

Simulation::Simulation(ScenarioSpec scenario, std::shared_ptr<const Topology> topology,
                       std::shared_ptr<const CostModel> cost, Workload workload)
    : scenario_(std::move(scenario)),
      topology_(std::move(topology)),
      cost_(std::move(cost)),
      builder_(scenario_.model, scenario_.precision, scenario_.parallel, scenario_.model_mark),
      placements_(place(scenario_.parallel, scenario_.placement, *topology_)),
      shares_links_(foretoken::replicas_share_links(placements_, *topology_)),
      memory_(plan_memory(builder_, cost_->profile(), scenario_)),
      workload_(std::move(workload)) {}

StepContext Simulation::step_context() const {
  StepContext context;
  context.builder = &builder_;
  context.cost = cost_.get();
  context.topology = topology_.get();
  context.collective = collective_costs(*cost_);
  context.overlap = scenario_.engine.overlap_collectives;
  context.memory = collectives_;
  context.wire = read_wire(cost_->profile());
  return context;
}

SchedulerLimits Simulation::scheduler_limits() const {
  SchedulerLimits limits;
  limits.max_num_seqs = scenario_.engine.max_num_seqs;
  limits.max_num_batched_tokens = scenario_.engine.max_num_batched_tokens;
  limits.block_size = scenario_.engine.block_size;
  limits.kv_blocks = memory_.blocks;
  limits.chunked_prefill = scenario_.engine.chunked_prefill;
  limits.window = scenario_.model.sliding_window;
  limits.batching = scenario_.engine.batching;
  limits.admission = scenario_.engine.admission;
  limits.decode_first = scenario_.engine.decode_first;
  limits.batch_wait_tokens =
      std::llround(scenario_.engine.batch_wait_max_tokens_ratio *
                   static_cast<double>(scenario_.engine.max_num_batched_tokens));
  limits.batch_wait_steps = scenario_.engine.batch_wait_timeout_iters;
  limits.micro_batches =
      scenario_.engine.micro_batches == MicroBatches::balanced ? scenario_.parallel.pipeline : 1;
  return limits;
}

FleetTimers Simulation::timers(const CostDraw& draw, bool exact, bool own_timers) const {
  const StepContext context = step_context();
  // Replicas whose links are alike share what their timers remember, unless links are common.
  std::map<std::vector<double>, std::vector<std::shared_ptr<StepTimer>>> alike;
  std::deque<std::vector<std::shared_ptr<StepTimer>>> apart;
  FleetTimers timers;
  for (const ReplicaPlacement& placement : placements_) {
    auto& stages = own_timers || shares_links_ ? apart.emplace_back()
                                               : alike[link_signature(placement, *topology_)];
    if (stages.empty()) {
      for (std::size_t i = 0; i < placement.stages.size(); ++i) {
        stages.push_back(std::make_shared<StepTimer>(context, placement.stages[i],
                                                     static_cast<int>(i), draw, exact));
      }
    }
    timers.push_back(stages);
  }
  return timers;
}

RunRecord Simulation::run(const FleetTimers& timers, const CostDraw& draw, const Workload& workload,
                          const std::optional<StopRule>& stop, const Recording& recording,
                          const Progress& progress) const {
  Fleet::Config config;
  config.limits = scheduler_limits();
  config.router =
      scenario_.engine.router == "round-robin" ? Router::round_robin : Router::least_loaded;
  config.max_model_len = scenario_.engine.max_model_len.value_or(scenario_.model.max_positions);
  config.warmup = scenario_.workload.warmup;
  config.recording = recording;
  config.progress = progress;
  config.host_overlap = scenario_.engine.host_overlap;
  config.stages = timers;
  config.stop = stop;
  if (shares_links_) {
    config.shared_links = config.stages.front().front()->link_capacity();
  }
  return Fleet(config, workload, *cost_, draw).run();
}

RunRecord Simulation::run(const CostDraw& draw, bool exact, const Recording& recording,
                          const Progress& progress) const {
  // A trace names the GPUs of each replica.
  return run(timers(draw, exact, recording.trace.has_value()), draw, workload_, std::nullopt,
             recording, progress);
}

Result simulate(const Simulation& simulation, const RunOptions& options) {
  Result result;
  result.record = simulation.run(CostDraw(), options.exact, options.recording, options.requests);
  result.point =
      summarise(result.record, simulation.scenario().workload.warmup, simulation.scenario().slo);
  result.replications = options.replications;
  if (options.replications >= 2) {
    result.runs = run_replications(simulation, options);
    result.intervals = make_intervals(simulation, result.point, result.runs, result.level);
  }
  return result;
}

}  // namespace foretoken
