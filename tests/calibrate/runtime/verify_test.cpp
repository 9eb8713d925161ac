#include "calibrate/runtime/verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "calibrate/runtime/engine_calibration.h"
#include "calibrate/runtime/grid.h"
#include "calibrate/runtime/pace_profile.h"
#include "calibrate/runtime/quiet.h"
#include "calibrate/runtime/rank_group.h"
#include "calibrate/runtime/wire_measurement.h"
#include "sim/cli/load.h"
#include "sim/core/error.h"
#include "sim/cost/cost_model.h"
#include "tests/calibrate/runtime/reference_model.h"

namespace foretoken::runtime {
namespace {

// The shipped scenario, cut to what a test may take.
cli::ScenarioOptions small_case(std::vector<std::string> overrides = {}) {
  cli::ScenarioOptions options;
  options.file = "scenarios/verify.yaml";
  options.overrides = {"layers=1", "workload.lengths.input=16", "workload.lengths.output=4",
                       "workload.requests=2"};
  options.overrides.insert(options.overrides.end(), overrides.begin(), overrides.end());
  return options;
}

VerifyReport verified(const cli::ScenarioOptions& scenario) {
  const auto loaded = cli::load_simulation(scenario);
  VerifyOptions options;
  options.repeats = 2;
  options.budget = 1;
  return verify(loaded.simulation, options);
}

// What a report must hold, whatever the machine was like: no time is compared with another.
void expect_complete(const VerifyReport& report) {
  EXPECT_FALSE(report.machine.empty());
  EXPECT_GE(report.repeats, 1);
  std::set<std::string> names;
  for (const Metric& metric : report.metrics) {
    names.insert(metric.name);
    EXPECT_GT(metric.predicted, 0) << metric.name;
    EXPECT_GT(metric.measured, 0) << metric.name;
    EXPECT_LE(metric.interval.low, metric.predicted) << metric.name;
    EXPECT_GE(metric.interval.high, metric.predicted) << metric.name;
  }
  EXPECT_TRUE(names.contains("mean_ttft_ms") && names.contains("mean_tpot_ms") &&
              names.contains("output_throughput"));
  std::set<std::string> families;
  for (const FamilyRow& row : report.families) {
    families.insert(row.family);
    EXPECT_TRUE(row.family == "host" || row.predicted > 0) << row.family;
    EXPECT_GT(row.measured, 0) << row.family;
  }
  for (const char* family : {"gemm", "attention_prefill", "attention_decode", "elementwise"}) {
    EXPECT_TRUE(families.contains(family)) << family;
  }
}

TEST(Verify, ReportsEveryMetricAndFamilyOfABatch) {
  const auto scenario = small_case();
  const VerifyReport report = verified(scenario);
  expect_complete(report);
  EXPECT_FALSE(report.stream);
  const auto loaded = cli::load_simulation(scenario);
  const auto written = json(report, loaded.simulation.scenario());
  EXPECT_EQ(written["schema"], 1);
  EXPECT_EQ(written["metrics"].size(), report.metrics.size());
  EXPECT_EQ(written["families"].size(), report.families.size());
  EXPECT_NE(text(report).find("mean_ttft_ms"), std::string::npos);
  EXPECT_NE(markdown(report, loaded.simulation.scenario()).find("| mean_ttft_ms |"),
            std::string::npos);
}

TEST(Verify, ServesAStreamOnTheRealClock) {
  const VerifyReport report =
      verified(small_case({"workload.arrivals={poisson: 100/s}", "workload.requests=6"}));
  expect_complete(report);
  EXPECT_TRUE(report.stream);
  EXPECT_GE(report.repeats, 1);
  EXPECT_LE(report.repeats, 3);
}

TEST(Verify, JoinsTwoRanksOverALoopbackWireThatItMeasures) {
  auto scenario = small_case({"parallel.tensor=2", "precision.all_reduce=int4"});
  const Format int4 = parse_format("int4", FormatRole::wire);
  const Profile wire = calibrate_wire(std::nullopt, {kBf16, int4});
  EXPECT_GT(wire.at("wire.latency").value, 0);
  EXPECT_GT(wire.at("codec." + to_string(int4) + ".bandwidth").value, 0);
  EXPECT_EQ(wire.find("wire.bucket"), nullptr);
  scenario.measured.push_back(wire);
  const VerifyReport report = verified(scenario);
  expect_complete(report);
  EXPECT_EQ(report.wire, "loopback");
}

TEST(Verify, RefusesWhatCannotBeExecuted) {
  EXPECT_THROW(verified(small_case({"workload.arrivals={closed_loop: {concurrency: 2}}"})),
               InputError);
  EXPECT_THROW(verified(small_case({"model=qwen3-8b"})), InputError);
  for (const char* rate : {"", "fast", "1", "1Gbyte", "999999Gbit"}) {
    EXPECT_THROW(parse_wire(rate), InputError) << rate;
  }
  EXPECT_EQ(parse_wire("1Gbit"), "1gbit");
  EXPECT_EQ(parse_wire("unpaced"), "");
}

// Times made of known constants: 40 us, 120 MB/s beyond 128 kB, copies at 1.5 GB/s.
TEST(WireFit, FindsLatencyRateBucketAndCopying) {
  std::vector<WirePoint> points;
  for (double bytes = 256; bytes <= 4 << 20; bytes *= 2) {
    points.push_back({bytes, 40e-6 + std::max(bytes / 1.5e9, (bytes - 128e3) / 120e6)});
  }
  const WireFit fit = fit_wire(points, true);
  EXPECT_NEAR(fit.latency, 40e-6, 2e-6);
  EXPECT_NEAR(fit.bandwidth, 120e6, 3e6);
  EXPECT_NEAR(fit.bucket, 128e3, 8e3);
  EXPECT_NEAR(fit.copy_bandwidth, 1.5e9, 0.3e9);
  EXPECT_LT(fit.error, 0.03);
}

TEST(EngineCalibration, PricesEveryOperatorOfTheModelItMeasured) {
  const EngineSamples samples = measure_engine(tiny_model(), {}, 1, 1);
  const EngineSamples copy = samples_from_json(to_json(samples));
  EXPECT_EQ(copy.operators, samples.operators);
  EXPECT_EQ(copy.hosts.size(), samples.hosts.size());
  EXPECT_EQ(copy.spreads, samples.spreads);
  EXPECT_EQ(copy.steps, samples.steps);
  const CostModel cost(engine_profile(samples));
  const GraphBuilder builder(tiny_model(), {}, {});
  BatchShape batch;
  batch.prefill = {{48, 0}};
  batch.rows = 1;
  for (const Segment& segment : builder.build(batch, 0).segments) {
    for (const Operator& op : segment.operators) {
      const Estimate estimate = cost.price(op);
      EXPECT_GT(estimate.seconds, 0) << op.name;
      EXPECT_EQ(estimate.provenance, Provenance::measured) << op.name;
    }
  }
}

TEST(EngineCalibration, WidensItsIntervalsOnAMachineThatDoesNotRepeatItself) {
  EngineSamples samples = measure_engine(tiny_model(), {}, 1, 1);
  samples.spreads = {0.3, 0.2, 0.4};
  const double noisy = engine_profile(samples).at("gemm.bf16.sd_family").value;
  samples.spreads = {0.01, 0.01, 0.01};
  const double steady = engine_profile(samples).at("gemm.bf16.sd_family").value;
  EXPECT_GT(noisy, 0.15);
  EXPECT_GT(noisy, steady);
}

TEST(EngineCalibration, WidensItsIntervalsByWhatMovedUntilItWasMeasuredAgain) {
  EngineSamples samples = measure_engine(tiny_model(), {}, 1, 1);
  samples.spreads = {0.01};
  EngineSamples later = samples;
  for (double& seconds : later.steps) {
    seconds *= 1.2;
  }
  EngineSamples same = samples;
  same.add_again(samples);
  EXPECT_EQ(same.drifts, std::vector<double>(samples.steps.size()));
  EXPECT_EQ(same.steps, samples.steps);
  EngineSamples moved = samples;
  moved.add_again(later);
  EXPECT_EQ(moved.operators.begin()->second.size(), 2 * samples.operators.begin()->second.size());
  for (const double drift : moved.drifts) {
    EXPECT_NEAR(drift, std::log(1.2), 1e-9);
  }
  const auto sd = [](const EngineSamples& of) {
    return engine_profile(of).at("gemm.bf16.sd_family").value;
  };
  EXPECT_GT(sd(moved), 0.18);
  EXPECT_GT(sd(moved), sd(same));
  EXPECT_EQ(together({moved}).drifts, moved.drifts);
}

TEST(EngineCalibration, KeepsTheShapesOfOneModelOut) {
  std::set<std::pair<std::int64_t, std::int64_t>> kept_out, used;
  const auto shapes = [](const ModelSpec& model, auto& into) {
    for (int tensor : {1, 2}) {
      ParallelSpec parallel;
      parallel.tensor = tensor;
      BatchShape batch;
      batch.prefill = {{8, 0}};
      batch.rows = 1;
      for (const Segment& segment : GraphBuilder(model, {}, parallel).build(batch, 0).segments) {
        for (const Operator& op : segment.operators) {
          if (const auto* gemm = std::get_if<GemmOp>(&op.what)) {
            into.insert({gemm->n, gemm->k});
          }
        }
      }
    }
  };
  shapes(cli::load_simulation(small_case({"model=llama-1b"})).simulation.scenario().model,
         kept_out);
  for (const ModelSpec& model : calibration_models()) {
    shapes(model, used);
  }
  for (const auto& shape : kept_out) {
    EXPECT_FALSE(used.contains(shape)) << shape.first << " x " << shape.second;
  }
}

TEST(PaceProfile, StatesTimesAndRatesAtThePaceAskedFor) {
  Profile profile;
  const auto set = [&](const char* name, double value) {
    profile.parameters[name] = {value, Provenance::measured, "a test"};
  };
  set("host.step", 4);
  set("codec.int8.bandwidth", 10);
  profile.samples["gemm.w8a8"].samples = {{{4096, 64, 64}, 1}, {{1, 64, 64}, 1}};
  // Without a pace nothing is known.
  EXPECT_EQ(at_pace(profile, 2).at("host.step").value, 4);
  EXPECT_EQ(at_pace(profile, 2).samples["gemm.w8a8"].samples[0].seconds, 1);
  set("device.pace", 1);
  set("wire.pace", 0.5);
  const Profile slow = at_pace(profile, 2);
  EXPECT_DOUBLE_EQ(slow.at("host.step").value, 8);
  EXPECT_DOUBLE_EQ(slow.at("codec.int8.bandwidth").value, 2.5);
  EXPECT_DOUBLE_EQ(slow.at("device.pace").value, 2);
  EXPECT_GT(slow.samples.at("gemm.w8a8").samples[0].seconds,
            slow.samples.at("gemm.w8a8").samples[1].seconds);
  EXPECT_NEAR(at_pace(slow, 1).samples.at("gemm.w8a8").samples[0].seconds, 1, 1e-12);
}

// A graph of one operator in four layers, with the times it took.
StepResult layers(std::vector<double> seconds) {
  StepResult step;
  Segment segment;
  segment.repeat = static_cast<int>(seconds.size());
  Operator norm;
  norm.name = "norm";
  norm.family = OpFamily::elementwise;
  norm.what = ElementwiseOp{1, 1};
  segment.operators.push_back(norm);
  step.graph.segments.push_back(segment);
  step.seconds = std::move(seconds);
  return step;
}

TEST(Grid, The_slow_wire_is_as_slow_as_the_share_wants) {
  // 20 MB: 0.2 s at 100 MB/s and 0.05 s at 400 MB/s, beside 0.4 s of computing and 0.01 s of
  // latencies. 72 % of communication is 1.0286 s, so 1.0186 s for the bytes: 157.08 Mbit/s.
  const PacedStep slow{100e6, 0.21, 0.4}, fast{400e6, 0.06, 0.4};
  EXPECT_DOUBLE_EQ(mbit_for_share(0.72, slow, fast), 160);
}

TEST(Evenness, IsTheTimeBeyondWhatOtherLayersTook) {
  Evenness even, burst;
  even.add(layers({1, 1, 1, 1}));
  EXPECT_DOUBLE_EQ(even.excess(), 0);
  burst.add(layers({1, 1, 2, 2}));
  EXPECT_DOUBLE_EQ(burst.excess(), 2.0 / 6);
  burst.add(layers({3, 3, 3, 3}));
  EXPECT_DOUBLE_EQ(burst.excess(), 2.0 / 18);
}

TEST(Grid, DrawsDistinctCasesThatTheSeedDecides) {
  const auto cases = draw_cases(5, 48);
  std::set<std::string> names;
  for (const GridCase& c : cases) {
    names.insert(c.name());
    EXPECT_EQ(c.prefill % c.batch, 0);
  }
  EXPECT_EQ(names.size(), 48U);
  EXPECT_EQ(draw_cases(5, 48).front().name(), cases.front().name());
  EXPECT_NE(draw_cases(6, 48).front().name(), cases.front().name());
  EXPECT_EQ(chosen_cases("130Mbit").back().wire, "unpaced");
}

}  // namespace
}  // namespace foretoken::runtime
