#include "sim/step/step_timer.h"

#include <gtest/gtest.h>

#include "sim/step/codec_price.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

BatchShape mixed_batch() {
  BatchShape batch;
  batch.prefill = {{100, 0}, {50, 200}};
  batch.decode_sequences = 7;
  batch.decode_kv_tokens = 900;
  batch.decode_kv_tokens_windowed = 700;
  batch.rows = 9;
  return batch;
}

StepTime time_of(const Simulation& simulation, const BatchShape& batch, bool exact,
                 const CostDraw& draw = {}) {
  StepTimer timer(simulation.step_context(), simulation.placements().front().stages.front(), 0,
                  draw, exact);
  return timer.time(batch);
}

TEST(StepTimer, Families_and_provenances_each_sum_to_the_total) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  const StepTime time = time_of(make(scenario), mixed_batch(), false);
  Time families = kTimeZero, provenances = kTimeZero;
  for (const Time t : time.share.by_family) {
    families += t;
  }
  for (const Time t : time.share.by_provenance) {
    provenances += t;
  }
  EXPECT_EQ(families, time.share.total);
  EXPECT_EQ(provenances, time.share.total);
  for (const OpFamily family :
       {OpFamily::gemm, OpFamily::attention_prefill, OpFamily::attention_decode,
        OpFamily::elementwise, OpFamily::collective}) {
    EXPECT_GT(time.share.by_family[static_cast<std::size_t>(family)], kTimeZero);
  }
}

TEST(StepTimer, Remembering_changes_nothing_for_any_mixture) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  scenario.model.sliding_window = 64;
  scenario.model.window_every = 2;
  const Simulation simulation = make(scenario);
  BatchShape decode_only = mixed_batch();
  decode_only.prefill.clear();
  decode_only.rows = 7;
  BatchShape prefill_only = mixed_batch();
  prefill_only.decode_sequences = prefill_only.decode_kv_tokens = 0;
  prefill_only.decode_kv_tokens_windowed = 0;
  prefill_only.rows = 2;
  for (const BatchShape& batch : {mixed_batch(), decode_only, prefill_only}) {
    for (const CostDraw& draw : {CostDraw(), CostDraw(3, 1, 4)}) {
      EXPECT_EQ(time_of(simulation, batch, false, draw).share.by_family,
                time_of(simulation, batch, true, draw).share.by_family);
    }
  }
}

// Ring all-reduce over two ranks: 2 (N - 1) = 2 steps, each the step latency, the path latency of
// two links (1 us) and half the message at 100 GB/s x the profile's efficiency; plus the call's own
// time.
TEST(StepTimer, The_all_reduce_of_a_step_is_the_ring_of_its_topology) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  const Simulation simulation = make(scenario);
  const CollectiveCosts costs = collective_costs(simulation.cost());
  const CollectiveCosts::PerClass& nvlink = costs.per_class.at(LinkClass::nvlink);
  StepTimer timer(simulation.step_context(), simulation.placements().front().stages.front(), 0, {},
                  false);
  int seen = 0;
  for (const StepTimer::Line& line : timer.lines(mixed_batch())) {
    if (line.name != "all_reduce" || line.segment.find("layers") == std::string::npos) {
      continue;
    }
    ++seen;
    const double half = 157.0 * 512 * 2 / 2;  // 157 tokens of 512 values of two bytes
    const double step = to_seconds(costs.step_latency + nvlink.step_latency) + 1e-6 +
                        half / (100e9 * nvlink.efficiency);
    EXPECT_NEAR(to_seconds(line.once), to_seconds(costs.t0) + 2 * step, 1e-11);
  }
  EXPECT_EQ(seen, 2);
}

TEST(StepTimer, A_quantised_wire_pays_for_its_codec_and_says_that_its_price_is_assumed) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  scenario.precision.all_reduce = parse_format("int4", FormatRole::wire);
  const Simulation simulation = make(scenario);
  const auto assumed = static_cast<std::size_t>(Provenance::assumed);
  const StepTime time = time_of(simulation, mixed_batch(), false);
  EXPECT_GT(time.share.by_provenance[assumed], kTimeZero);
  const Estimate codec = codec_price(simulation.cost(), CodecPhase::quantise, 1'000'000,
                                     scenario.precision.all_reduce);
  EXPECT_EQ(codec.provenance, Provenance::assumed);
  // 2 bytes read and 0.625 written per value at 100 GB/s, and 1 us.
  EXPECT_NEAR(codec.seconds, 1e-6 + 2.625e6 / 100e9, 1e-9);
}

TEST(StepTimer, A_measured_codec_is_used) {
  Profile profile = round_profile();
  profile.parameters["codec.int4/g32.bandwidth"] = {50e9, Provenance::measured, "test"};
  profile.parameters["codec.int4/g32.t0"] = {2e-6, Provenance::measured, "test"};
  const CostModel cost(profile);
  const Estimate codec =
      codec_price(cost, CodecPhase::quantise, 1'000'000, parse_format("int4", FormatRole::wire));
  EXPECT_EQ(codec.provenance, Provenance::measured);
  EXPECT_NEAR(codec.seconds, 2e-6 + 2e6 / 50e9, 1e-12);
}

// Between as many ranks over the same kind of link a measured call is not simulated; a library's
// that was measured elsewhere only calibrates.
TEST(StepTimer, An_all_reduce_that_was_measured_here_takes_what_it_took) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  const std::int64_t bytes = 160 * scenario.model.hidden * 2;
  const auto layer_time = [&](Provenance provenance, std::int64_t ranks) {
    Profile profile = round_profile();
    profile.samples["all_reduce.bf16"] = {
        {{{ranks, bytes / 2}, 0.5}, {{ranks, bytes * 2}, 2}}, provenance, "test"};
    const Simulation simulation(scenario, switched_topology(2), profile,
                                make_workload(scenario.workload, nullptr, nullptr, scenario.seed));
    StepTimer timer(simulation.step_context(), simulation.placements().front().stages.front(), 0,
                    {}, false);
    BatchShape batch = mixed_batch();
    batch.prefill = {{153, 0}};  // 160 tokens with the seven that decode
    for (const StepTimer::Line& line : timer.lines(batch)) {
      if (line.name == "all_reduce" && line.segment.find("layers") != std::string::npos) {
        EXPECT_EQ(line.anatomy.has_value(), provenance != Provenance::measured || ranks != 2);
        return to_seconds(line.once);
      }
    }
    return 0.0;
  };
  EXPECT_NEAR(layer_time(Provenance::measured, 2), 1, 1e-9);  // a power law between the samples
  EXPECT_LT(layer_time(Provenance::imported, 2), 1e-3);
  EXPECT_LT(layer_time(Provenance::measured, 4), 1e-3);
}

// A ring all-reduce is a ring reduce-scatter and a ring all-gather; two calls in place of one.
TEST(StepTimer, Sequence_parallelism_sends_the_same_bytes_and_shortens_the_norms) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 4;
  const Simulation plain = make(scenario);
  scenario.parallel.sequence = true;
  const Simulation sequence = make(scenario);
  BatchShape batch = mixed_batch();
  batch.prefill = {{153, 0}};  // 160 tokens: four shares of 40
  const auto family = [&](const Simulation& simulation, OpFamily of) {
    return time_of(simulation, batch, false).share.by_family[static_cast<std::size_t>(of)];
  };
  const std::int64_t all_reduces = 1 + 2 * scenario.model.layers;
  EXPECT_NEAR(to_seconds(family(sequence, OpFamily::collective)),
              to_seconds(family(plain, OpFamily::collective)) +
                  to_seconds(collective_costs(plain.cost()).t0 * all_reduces),
              // The logits' all-gather is a ring as well then: three steps in place of one.
              4 * 2e-6);
  EXPECT_LT(family(sequence, OpFamily::elementwise), family(plain, OpFamily::elementwise));
  EXPECT_EQ(family(sequence, OpFamily::gemm), family(plain, OpFamily::gemm));
  EXPECT_EQ(time_of(sequence, batch, false).share.by_family,
            time_of(sequence, batch, true).share.by_family);
}

// The library reduces in the switch where that is faster, if the profile says what a call takes.
TEST(StepTimer, Large_all_reduces_go_through_a_switch_that_adds) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 4;
  ClusterSpec spec;
  spec.name = "multicast";
  ClusterBuilder(spec).build(Switched{4, {{100e9}, Time(500'000)}, true});
  const auto all_reduce = [&](double nvls_t0, std::int64_t tokens) {
    Profile profile = round_profile();
    if (nvls_t0 > 0) {
      profile.parameters["collective.algorithm.nvls.t0"] = {nvls_t0, Provenance::measured, "test"};
    }
    Workload workload = make_workload(scenario.workload, nullptr, nullptr, scenario.seed);
    const Simulation simulation(scenario, Topology(spec), profile, std::move(workload));
    StepTimer timer(simulation.step_context(), simulation.placements().front().stages.front(), 0,
                    {}, false);
    BatchShape batch;
    batch.prefill = {{tokens, 0}};
    batch.rows = 1;
    for (const StepTimer::Line& line : timer.lines(batch)) {
      if (line.name == "all_reduce") {
        return line.once;
      }
    }
    return kTimeZero;
  };
  // A ring sends 1.5 vectors, the switch takes 1.25 and 50 us.
  EXPECT_LT(all_reduce(50e-6, 100'000), all_reduce(0, 100'000));
  EXPECT_EQ(all_reduce(50e-6, 100), all_reduce(0, 100));
}

// Two ranks, 64 tokens x hidden values in bf16: each sends two halves of them per all-reduce.
TEST(StepTimer, A_measured_wire_stands_for_the_links_of_the_topology) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  const Simulation simulation = make(scenario);
  StepContext context = simulation.step_context();
  context.wire = Wire{1e-3, 0, 0, 1e9, 0.1, 0, Provenance::measured};
  StepTimer timer(context, simulation.placements().front().stages.front(), 0, {}, false);
  BatchShape batch;
  batch.prefill = {{64, 0}};
  for (const StepTimer::Line& line : timer.lines(batch)) {
    if (line.name == "all_reduce") {
      const std::int64_t values = 64 * scenario.model.hidden;
      const double wire = 2e-3 + static_cast<double>(2 * values) / 1e9;
      double codec = 0;
      for (const CodecPhase phase :
           {CodecPhase::quantise, CodecPhase::reduce, CodecPhase::dequantise}) {
        codec += codec_price(simulation.cost(), phase, values, kBf16).seconds / 3;
      }
      EXPECT_NEAR(to_seconds(line.once), wire + 3.5 * codec, 1e-9);
    }
  }
  // A tenth of all other work is waited for besides.
  const TimeShare with = timer.time(batch).share;
  context.wire->skew = 0;
  StepTimer even(context, simulation.placements().front().stages.front(), 0, {}, false);
  const TimeShare without = even.time(batch).share;
  const auto collective = static_cast<std::size_t>(OpFamily::collective);
  const double work = to_seconds(without.total - without.by_family[collective]);
  EXPECT_NEAR(to_seconds(with.total - without.total), 0.1 * work, 1e-9);
  EXPECT_NEAR(to_seconds(with.by_family[collective] - without.by_family[collective]), 0.1 * work,
              1e-9);
}

}  // namespace
}  // namespace foretoken
