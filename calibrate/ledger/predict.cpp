#include "calibrate/ledger/predict.h"

#include <algorithm>

#include "calibrate/ledger/rules.h"
#include "sim/config/cluster_reader.h"
#include "sim/core/error.h"
#include "sim/serving/simulation.h"

namespace foretoken::calibrate {
namespace {

// Full engines of requests that an offline run is simulated for; the rest goes on at the rate of
// the middle.
constexpr std::int64_t kWaves = 4;

// Requests of fixed lengths that run at once.
std::int64_t slots(const ScenarioSpec& scenario, const CostModel& costs) {
  const GraphBuilder builder(scenario.model, scenario.precision, scenario.parallel);
  const MemoryPlan memory = plan_memory(builder, costs.profile(), scenario);
  const LengthSpec& lengths = scenario.workload.lengths;
  const std::int64_t blocks =
      ceil_div(lengths.input.high + lengths.output.high - 1, scenario.engine.block_size);
  return std::clamp<std::int64_t>(memory.blocks / blocks, 1, scenario.engine.max_num_seqs);
}

// Output tokens per second of `requests` requests, of which the first `run.requests` were
// simulated.
double offline_rate(const RunRecord& run, std::int64_t requests) {
  std::vector<double> finish;
  std::int64_t output = 0;
  for (const RequestRecord& r : run.requests) {
    if (!r.failed()) {
      finish.push_back(to_seconds(r.finish));
      output = r.output_tokens;
    }
  }
  if (finish.empty()) {
    return 0;
  }
  std::sort(finish.begin(), finish.end());
  const std::size_t count = finish.size();
  double end = finish.back();
  if (requests > static_cast<std::int64_t>(count)) {
    const std::size_t low = count / 4, high = 3 * count / 4;
    const double rate = static_cast<double>(high - low) / (finish[high] - finish[low]);
    end += static_cast<double>(requests - static_cast<std::int64_t>(count)) / rate;
  }
  return static_cast<double>(requests * output) / end;
}

std::map<std::string, double> metrics(const LedgerRow& row, const RunRecord& run) {
  if (row.harness == Harness::offline) {
    return {{"output_tok_s", offline_rate(run, row.requests)}};
  }
  if (row.harness == Harness::fixed_batch) {
    return {{"latency_s", to_seconds(run.end)}};
  }
  const Summary summary = summarise(run, 0, std::nullopt);
  return {{"ttft_ms", summary.ttft.mean}, {"tpot_ms", summary.tpot.mean}};
}

}  // namespace

LedgerPrediction predict(const LedgerRow& row, const std::shared_ptr<const CostModel>& costs,
                         int replications) {
  LedgerPrediction prediction;
  try {
    ScenarioSpec scenario = make_scenario(row);
    if (row.harness == Harness::offline) {
      scenario.workload.requests = std::min(row.requests, kWaves * slots(scenario, *costs));
    }
    const std::string topology = "topologies/" + find_gpu(row.gpu)->topology + ".yaml";
    Workload workload = make_workload(scenario.workload, nullptr, nullptr, scenario.seed);
    const std::uint64_t seed = scenario.seed;
    const Simulation simulation(std::move(scenario), Topology(config::read_cluster(topology)),
                                costs, std::move(workload));
    const RunRecord point = simulation.run(CostDraw(), false);
    prediction.extrapolated = point.extrapolated;
    prediction.value = metrics(row, point);
    std::map<std::string, std::vector<double>> drawn;
    for (int i = 0; i < replications; ++i) {
      const RunRecord run = simulation.run(CostDraw(seed, i, replications), false);
      for (const auto& [name, value] : metrics(row, run)) {
        drawn[name].push_back(value);
      }
    }
    for (auto& [name, values] : drawn) {
      if (values.size() >= 2) {
        Interval interval = replication_interval(values, 0.9);
        interval.low = std::min(interval.low, prediction.value[name]);
        interval.high = std::max(interval.high, prediction.value[name]);
        prediction.interval[name] = interval;
      }
    }
  } catch (const InputError& error) {
    prediction.refused = error.what();
  }
  return prediction;
}

}  // namespace foretoken::calibrate
