#include "calibrate/runtime/verify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "calibrate/bench/timing.h"
#include "calibrate/runtime/engine.h"
#include "calibrate/runtime/pace_profile.h"
#include "calibrate/runtime/quiet.h"
#include "calibrate/runtime/server.h"
#include "kernels/base/report_header.h"
#include "kernels/base/rounds.h"
#include "sim/core/error.h"
#include "sim/scheduler/schedulers.h"
#include "sim/step/step_timer.h"

namespace foretoken::runtime {
namespace {

constexpr int kDraws = 64;
constexpr double kLevel = 0.9;
constexpr double kPatience = 2;    // s for a quiet moment before a run
constexpr int kMostRunsOver = 12;  // times the repeats asked for, while the machine is not quiet
constexpr int kStreamRuns = 3;
constexpr double kFarOff = 1.25;  // of the calibration's pace: no clock, but a neighbour who stays
constexpr std::array<std::string_view, 6> kMetrics{"mean_ttft_ms",      "p99_ttft_ms",
                                                   "mean_tpot_ms",      "p99_tpot_ms",
                                                   "output_throughput", "request_throughput"};

FamilySeconds seconds_of(const TimeShare& share) {
  FamilySeconds seconds{};
  for (std::size_t i = 0; i < kOpFamilyCount; ++i) {
    seconds[i] = to_seconds(share.by_family[i]);
  }
  return seconds;
}

// The batch through the same scheduler, step after step, on the virtual clock. An engine finds all
// of its requests waiting when it looks; the fleet of a simulation hands them over one by one.
RunRecord replay(const Simulation& simulation, const CostDraw& draw) {
  const StepContext context = simulation.step_context();
  const StagePlacement& placement = simulation.placements().front().stages.front();
  StepTimer timer(context, placement, 0, draw, false);
  const auto scheduler = make_scheduler(simulation.scheduler_limits());
  RunRecord record;
  for (const Request& request : simulation.workload().requests) {
    record.requests.push_back({kTimeZero, kTimeZero, kTimeNever, kTimeNever, request.input_tokens,
                               request.output_tokens, 0});
    scheduler->add(request.input_tokens, request.output_tokens);
  }
  StepPlan plan;
  StepOutcome outcome;
  std::vector<Time> last(record.requests.size(), kTimeNever);
  Time now = kTimeZero;
  while (!scheduler->idle()) {
    scheduler->schedule(plan);
    StepTime step = timer.time(plan.shape);
    const Estimate host =
        simulation.cost().host(!plan.prefill.empty(), plan.shape.rows, timer.ranks());
    step.share.add(OpFamily::host, host.provenance, draw.duration(host));
    (plan.prefill.empty() ? record.decode_steps : record.prefill_steps).add(step.share);
    record.extrapolated = record.extrapolated || step.extrapolated;
    now += step.share.total;
    ++record.steps;
    scheduler->complete(plan, outcome);
    std::vector<RequestId> emitted = plan.decode;
    emitted.insert(emitted.end(), outcome.first_tokens.begin(), outcome.first_tokens.end());
    for (const RequestId id : emitted) {
      const auto index = static_cast<std::size_t>(id);
      if (last[index] == kTimeNever) {
        record.requests[index].first_token = now;
      } else {
        record.gaps.emplace_back(now - last[index], 1);
      }
      last[index] = now;
    }
    for (const RequestId id : outcome.finished) {
      record.requests[static_cast<std::size_t>(id)].finish = now;
      record.end = now;
    }
  }
  return record;
}

std::map<std::string, double> metrics_of(const RunRecord& record, const ScenarioSpec& scenario) {
  const auto list = summarise(record, scenario.workload.warmup, scenario.slo).metrics();
  return {list.begin(), list.end()};
}

Predicted predict_batch(const Simulation& simulation) {
  Predicted predicted;
  const ScenarioSpec& scenario = simulation.scenario();
  const RunRecord point = replay(simulation, CostDraw());
  predicted.point = summarise(point, scenario.workload.warmup, scenario.slo);
  predicted.prefill = seconds_of(point.prefill_steps);
  predicted.decode = seconds_of(point.decode_steps);
  std::map<std::string, std::vector<double>> values;
  for (int i = 0; i < kDraws; ++i) {
    const RunRecord drawn = replay(simulation, CostDraw(scenario.seed, i, kDraws));
    for (const auto& [name, value] : metrics_of(drawn, scenario)) {
      values[name].push_back(value);
    }
  }
  for (auto& [name, list] : values) {
    predicted.intervals.emplace(name, replication_interval(list, kLevel));
  }
  return predicted;
}

// The widest pair of order statistics that holds the median with at least 90 %: the whole range up
// to seven values.
Interval median_interval(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  double below = std::pow(0.5, static_cast<double>(n));  // P(Binomial(n, 1/2) <= i)
  double term = below;
  std::size_t i = 0;
  for (; i + 1 < n / 2; ++i) {
    term *= static_cast<double>(n - i) / static_cast<double>(i + 1);
    if (below + term > (1 - kLevel) / 2) {
      break;
    }
    below += term;
  }
  return {values[i], values[n - 1 - i]};
}

// Blocks that can be in use at once; the plan's capacity may be far more than this run needs.
std::int64_t blocks_needed(const SchedulerLimits& limits, const Workload& workload) {
  std::vector<std::int64_t> blocks;
  for (const Request& request : workload.requests) {
    blocks.push_back(ceil_div(request.input_tokens + request.output_tokens, limits.block_size));
  }
  std::sort(blocks.rbegin(), blocks.rend());
  blocks.resize(std::min(blocks.size(), static_cast<std::size_t>(limits.max_num_seqs)));
  std::int64_t sum = 0;
  for (const std::int64_t count : blocks) {
    sum += count;
  }
  return std::min(sum, limits.kv_blocks);
}

std::int64_t longest(const Workload& workload) {
  std::int64_t most = 1;
  for (const Request& request : workload.requests) {
    most = std::max(most, request.input_tokens + request.output_tokens);
  }
  return most;
}

void check_executable(const Simulation& simulation) {
  const ScenarioSpec& scenario = simulation.scenario();
  const Workload& workload = simulation.workload();
  const auto refuse = [](const SourceMark& mark, const char* key, const std::string& why) {
    throw InputError(mark, key, why);
  };
  if (workload.concurrency > 0) {
    refuse(scenario.workload.mark, "workload.arrivals",
           "a closed loop is not executed yet (try all_at_once, constant or poisson)");
  }
  if (scenario.engine.batching == Batching::static_batch || scenario.engine.block_size != 16) {
    refuse(scenario.engine.mark, "engine",
           "static batches and blocks of other than 16 tokens are not executed");
  }
  const SchedulerLimits limits = simulation.scheduler_limits();
  const auto scheduler = make_scheduler(limits);
  for (const Request& request : workload.requests) {
    if (!scheduler->admissible(request.input_tokens, request.output_tokens)) {
      refuse(scenario.workload.mark, "workload.lengths",
             fmt::format("a request of {} + {} tokens can never be served", request.input_tokens,
                         request.output_tokens));
    }
  }
}

// What several runs of the real server left behind.
struct Measured {
  std::map<std::string, std::vector<double>> metrics;  // by name, a value a run
  std::vector<FamilySeconds> prefill, decode;
  std::vector<double> paces;  // s of the sentinel
  void add(const RunRecord& record, const ScenarioSpec& scenario, double pace) {
    for (const auto& [name, value] : metrics_of(record, scenario)) {
      metrics[name].push_back(value);
    }
    prefill.push_back(seconds_of(record.prefill_steps));
    decode.push_back(seconds_of(record.decode_steps));
    paces.push_back(pace);
  }
  std::size_t runs() const { return prefill.size(); }
  bool tight(double width) const {
    const auto ttft = metrics.find("mean_ttft_ms");
    if (runs() < 2 || ttft == metrics.end()) {
      return false;
    }
    const Interval interval = median_interval(ttft->second);
    return interval.high - interval.low <= 2 * width * interval.low;
  }
};

// The same deployment and requests, cores at that pace. The simulation must outlive it.
Simulation restated(const Simulation& simulation, double pace) {
  const ScenarioSpec& scenario = simulation.scenario();
  const Profile profile = at_pace(simulation.profile(), pace);
  return {
      scenario,
      std::shared_ptr<const Topology>(std::shared_ptr<const Topology>(), &simulation.topology()),
      std::make_shared<const CostModel>(with_host_times(profile, scenario.engine)),
      simulation.workload()};
}

double median_family(const std::vector<FamilySeconds>& runs, std::size_t family) {
  std::vector<double> values(runs.size());
  std::transform(runs.begin(), runs.end(), values.begin(),
                 [family](const FamilySeconds& run) { return run[family]; });
  return kernels::median(values);
}

void add_families(VerifyReport& report, const std::string& phase, const FamilySeconds& predicted,
                  const std::vector<FamilySeconds>& measured) {
  for (std::size_t i = 0; i < kOpFamilyCount; ++i) {
    const double seconds = median_family(measured, i);
    if (predicted[i] > 0 || seconds > 0) {
      report.families.push_back({phase, std::string(kOpFamilyNames[i]), predicted[i], seconds});
    }
  }
}

std::string pace_note(const VerifyReport& report) {
  std::vector<std::string> first;
  first.reserve(report.metrics.size());
  for (const Metric& metric : report.metrics) {
    first.push_back(fmt::format("{} {:.4g}", metric.name, metric.at_first));
  }
  return fmt::format(
      "during the runs the sentinel took {:.3f} of the time that it took during the calibration; "
      "predictions are stated at that pace of the cores, at the calibration's they would be {}",
      *report.pace, fmt::join(first, ", "));
}

}  // namespace

bool is_batch(const Workload& workload) {
  return workload.concurrency == 0 &&
         std::all_of(workload.requests.begin(), workload.requests.end(),
                     [](const Request& request) { return request.arrival == kTimeZero; });
}

Predicted predict(const Simulation& simulation) {
  if (is_batch(simulation.workload())) {
    return predict_batch(simulation);
  }
  RunOptions options;
  const Result result = simulate(simulation, options);
  return {result.point, result.intervals, seconds_of(result.record.prefill_steps),
          seconds_of(result.record.decode_steps)};
}

VerifyReport verify(const Simulation& simulation, const VerifyOptions& options) {
  check_executable(simulation);
  const Predicted at_first = predict(simulation);
  const ScenarioSpec& scenario = simulation.scenario();
  const Workload& workload = simulation.workload();
  VerifyReport report;
  report.machine = kernels::cpu_report_line();
  report.date = kernels::today();
  report.commit = kernels::commit();
  report.stream = !is_batch(workload);
  report.wire = scenario.parallel.tensor == 1 ? "none"
                : !options.wire               ? "loopback"
                : options.wire->empty()       ? "unpaced"
                                              : *options.wire;

  std::unique_ptr<WeightSource> weights;
  if (options.weights.empty()) {
    weights = std::make_unique<RandomWeights>(scenario.seed);
  } else {
    weights = std::make_unique<SafetensorsWeights>(options.weights);
  }
  SchedulerLimits limits = simulation.scheduler_limits();
  limits.kv_blocks = blocks_needed(limits, workload);
  Engine engine(simulation.builder(), *weights,
                {limits.kv_blocks, longest(workload), options.weights.empty()}, options.wire);
  Server server(engine.executor(), limits, scenario.model.vocab, engine.transport(), scenario.seed);
  Workload warm = workload;  // a few requests touch every page and buffer
  warm.requests.resize(std::min<std::size_t>(warm.requests.size(), report.stream ? 3 : 64));
  server.serve(warm);

  Sentinel sentinel(engine.cores(), scenario.parallel.tensor);
  Measured all, quiet;
  const Parameter* calibrated = simulation.profile().find("device.pace");
  const double end = calibrate::now_seconds() + options.budget;
  const int most = report.stream ? kStreamRuns : kMostRunsOver * options.repeats;
  while (report.repeats < most) {
    const Watch watch(sentinel, kPatience);
    Evenness evenness;
    const ServedRun run = server.serve(
        workload, [&](const StepInput&, const StepResult& step, double) { evenness.add(step); });
    Quiet state = watch.quiet();
    state.uneven = evenness.excess();
    const bool ok =
        state.ok() && (calibrated == nullptr || state.pace < kFarOff * calibrated->value);
    ++report.repeats;
    all.add(run.record, scenario, state.pace);
    if (ok) {
      ++report.quiet_repeats;
      quiet.add(run.record, scenario, state.pace);
    }
    const bool enough = report.quiet_repeats >= options.repeats &&
                        (quiet.tight(options.tight) || report.quiet_repeats >= options.repeats + 3);
    if (enough || calibrate::now_seconds() > end) {
      break;
    }
  }
  const Measured& used = quiet.runs() > 0 ? quiet : all;
  if (quiet.runs() < std::min<std::size_t>(all.runs(), static_cast<std::size_t>(options.repeats))) {
    report.notes.push_back(
        fmt::format("the machine was quiet during {} of {} runs{}", quiet.runs(), all.runs(),
                    quiet.runs() > 0 ? ""
                                     : "; the figures are those of noisy ones, and the prediction "
                                       "is for the pace of the calibration"));
  }
  // The cores' clock is the host's to choose, and a prediction is for one. A neighbour is no clock:
  // what the sentinel took beside one says nothing of the kernels.
  const double pace =
      quiet.runs() == 0 && calibrated != nullptr ? calibrated->value : kernels::median(used.paces);
  const Predicted predicted = predict(restated(simulation, pace));
  const auto first_metrics = at_first.point.metrics();
  const std::map<std::string, double> before(first_metrics.begin(), first_metrics.end());
  for (const auto& [name, value] : predicted.point.metrics()) {
    if (std::find(kMetrics.begin(), kMetrics.end(), name) == kMetrics.end()) {
      continue;
    }
    const auto measured = used.metrics.find(name);
    const auto interval = predicted.intervals.find(name);
    if (measured == used.metrics.end() || interval == predicted.intervals.end()) {
      continue;
    }
    report.metrics.push_back({name, value, before.at(name), interval->second,
                              kernels::median(measured->second),
                              median_interval(measured->second)});
  }
  if (calibrated != nullptr && quiet.runs() > 0) {
    report.pace = pace / calibrated->value;
    report.notes.push_back(pace_note(report));
  }
  add_families(report, "steps with prompts", predicted.prefill, used.prefill);
  add_families(report, "decode steps", predicted.decode, used.decode);
  return report;
}

}  // namespace foretoken::runtime
