#include <gtest/gtest.h>

#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

TEST(Replications, The_result_does_not_depend_on_the_number_of_threads) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  const Simulation simulation = make(scenario);
  RunOptions options;
  options.replications = 8;
  options.threads = 1;
  const Result one = simulate(simulation, options);
  options.threads = 4;
  int calls = 0;
  options.progress = [&](int, int total) {
    ++calls;
    EXPECT_EQ(total, 8);
  };
  const Result four = simulate(simulation, options);
  EXPECT_EQ(calls, 8);
  EXPECT_EQ(one.point.metrics(), four.point.metrics());
  ASSERT_EQ(one.intervals.size(), four.intervals.size());
  for (const auto& [name, interval] : one.intervals) {
    EXPECT_EQ(interval.low, four.intervals.at(name).low) << name;
    EXPECT_EQ(interval.high, four.intervals.at(name).high) << name;
  }
}

TEST(Replications, Intervals_hold_the_point_estimate_and_have_the_width_of_the_stated_spread) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.arrivals.rate = 1;  // hardly any queueing: TTFT scales with the costs
  const Simulation simulation = make(scenario);
  RunOptions options;
  options.replications = 32;
  const Result result = simulate(simulation, options);
  for (const auto& [name, value] : result.point.metrics()) {
    const Interval& interval = result.intervals.at(name);
    EXPECT_LE(interval.low, value) << name;
    EXPECT_GE(interval.high, value) << name;
  }
  // Families with a spread of 5 % each, partly averaging: the half-width of 90 % lies between that
  // of a fully shared spread (1.645 x 7 %) and a fifth of it.
  const Interval& ttft = result.intervals.at("mean_ttft_ms");
  const double half = (ttft.high - ttft.low) / 2 / result.point.ttft.mean;
  EXPECT_LT(half, 1.645 * 0.0708);
  EXPECT_GT(half, 1.645 * 0.0708 / 5);
}

TEST(Replications, The_same_seed_gives_the_same_numbers_and_another_seed_others) {
  ScenarioSpec scenario = small_scenario();
  const auto metrics = [&](std::uint64_t seed) {
    scenario.seed = seed;
    RunOptions options;
    options.replications = 2;
    return simulate(make(scenario), options).point.metrics();
  };
  EXPECT_EQ(metrics(1), metrics(1));
  EXPECT_NE(metrics(1), metrics(2));
}

}  // namespace
}  // namespace foretoken
