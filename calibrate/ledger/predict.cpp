#include "calibrate/ledger/predict.h"

#include <algorithm>
#include <cmath>

#include "calibrate/ledger/rules.h"
#include "sim/config/cluster_reader.h"
#include "sim/core/error.h"
#include "sim/serving/simulation.h"

namespace foretoken::calibrate {
namespace {

// Full engines of requests that an offline run is simulated for; the rest goes on at the rate of
// the middle.
constexpr std::int64_t kWaves = 4;
constexpr double kLevel = 0.9;

bool offline(const LedgerRow& row) {
  return row.harness == Harness::offline || row.harness == Harness::mlperf_offline;
}

std::int64_t usual(const LengthSpec::Side& side) {
  return side.kind == LengthSpec::Kind::lognormal ? std::llround(side.median) : side.high;
}

// Requests that run at once; of drawn lengths, about.
std::int64_t slots(const ScenarioSpec& scenario, const CostModel& costs) {
  const GraphBuilder builder(scenario.model, scenario.precision, scenario.parallel);
  const MemoryPlan memory = plan_memory(builder, costs.profile(), scenario);
  const LengthSpec& lengths = scenario.workload.lengths;
  const std::int64_t blocks =
      ceil_div(usual(lengths.input) + usual(lengths.output) - 1, scenario.engine.block_size);
  return std::clamp<std::int64_t>(memory.blocks / blocks, 1, scenario.engine.max_num_seqs);
}

// Output tokens per second of `requests` requests, of which the first `run.requests` were
// simulated.
double offline_rate(const RunRecord& run, std::int64_t requests) {
  std::vector<double> finish;
  double output = 0;
  for (const RequestRecord& r : run.requests) {
    if (!r.failed()) {
      finish.push_back(to_seconds(r.finish));
      output += static_cast<double>(r.output_tokens);
    }
  }
  if (finish.empty()) {
    return 0;
  }
  std::sort(finish.begin(), finish.end());
  const std::size_t count = finish.size();
  const double mean_output = output / static_cast<double>(count);
  double end = finish.back();
  if (requests > static_cast<std::int64_t>(count)) {
    const std::size_t low = count / 4, high = 3 * count / 4;
    const double rate = static_cast<double>(high - low) / (finish[high] - finish[low]);
    end += static_cast<double>(requests - static_cast<std::int64_t>(count)) / rate;
  }
  return static_cast<double>(requests) * mean_output / end;
}

std::map<std::string, double> metrics(const LedgerRow& row, const RunRecord& run) {
  if (offline(row)) {
    return {{"output_tok_s", offline_rate(run, row.requests)}};
  }
  if (row.harness == Harness::fixed_batch) {
    return {{"latency_s", to_seconds(run.end)}};
  }
  const Summary summary = summarise(run, 0, std::nullopt);
  return {{"ttft_ms", summary.ttft.mean}, {"tpot_ms", summary.tpot.mean}};
}

Simulation make_simulation(const LedgerRow& row, const ScenarioSpec& scenario,
                           const std::shared_ptr<const CostModel>& costs) {
  const std::string topology = "topologies/" + find_gpu(row.gpu)->topology + ".yaml";
  return Simulation(scenario, Topology(config::read_cluster(topology)), costs,
                    make_workload(scenario.workload, nullptr, nullptr, scenario.seed));
}

// Spreads come from a shorter run: fewer requests a client, fewer full engines.
void shorten(const LedgerRow& row, ScenarioSpec& scenario, std::int64_t at_once) {
  WorkloadSpec& workload = scenario.workload;
  if (row.harness == Harness::serving) {
    workload.requests = 2 * row.concurrency;
  } else if (offline(row)) {
    workload.requests = std::min(row.requests, at_once);
  }
}

// Draws of the shorter run over its own point, times the full run's point.
void add_intervals(const LedgerRow& row, const Simulation& shorter,
                   const EngineConstants& constants, int replications,
                   LedgerPrediction& prediction) {
  const auto base = metrics(row, shorter.run(CostDraw(), false));
  std::map<std::string, std::vector<double>> drawn;
  for (int i = 0; i < replications; ++i) {
    const CostDraw draw(shorter.scenario().seed, i, replications);
    for (const auto& [name, value] : metrics(row, shorter.run(draw, false))) {
      drawn[name].push_back(prediction.value.at(name) * value / base.at(name));
    }
  }
  for (auto& [name, values] : drawn) {
    Interval interval = replication_interval(std::move(values), kLevel);
    interval.low = std::min(interval.low, prediction.value.at(name));
    interval.high = std::max(interval.high, prediction.value.at(name));
    const double left = name == "ttft_ms" ? constants.residual_ttft : constants.residual_time;
    prediction.interval.emplace(name, widened(interval, prediction.value.at(name), left, kLevel));
  }
}

void explain(const RunRecord& run, LedgerPrediction& prediction) {
  prediction.extrapolated = run.extrapolated;
  prediction.steps = run.steps;
  prediction.prefill_steps = run.prefill_step_count;
  prediction.decode_tokens = run.decode_tokens;
  prediction.time = run.prefill_steps;
  prediction.time.add(run.decode_steps);
  prediction.end_s = to_seconds(run.end);
}

}  // namespace

LedgerPrediction predict(const LedgerRow& row, const CostModel& tables,
                         const EngineConstants& constants, int replications) {
  const auto costs = std::make_shared<const CostModel>(tables.with_host(constants.host));
  LedgerPrediction prediction;
  try {
    ScenarioSpec scenario = make_scenario(row);
    const std::int64_t at_once = slots(scenario, *costs);
    if (offline(row)) {
      scenario.workload.requests = std::min(row.requests, kWaves * at_once);
    }
    const Simulation simulation = make_simulation(row, scenario, costs);
    const RunRecord point = simulation.run(CostDraw(), false);
    prediction.value = metrics(row, point);
    explain(point, prediction);
    if (replications >= 2) {
      shorten(row, scenario, at_once);
      add_intervals(row, make_simulation(row, scenario, costs), constants, replications,
                    prediction);
    }
  } catch (const InputError& error) {
    prediction.refused = error.what();
  }
  return prediction;
}

}  // namespace foretoken::calibrate
