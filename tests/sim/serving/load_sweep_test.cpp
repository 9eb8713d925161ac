#include "sim/serving/load_sweep.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "sim/serving/in_parallel.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

TEST(LoadSweep, The_scenario_s_own_load_gives_its_own_result) {
  const Simulation simulation = make(small_scenario());
  RunOptions options;
  options.replications = 0;
  const Summary own = simulate(simulation, options).point;
  const LoadSweep sweep = sweep_load(simulation, 2, {});
  bool found = false;
  for (const LoadPoint& point : sweep.points) {
    if (point.load == sweep.own_load) {
      found = true;
      EXPECT_EQ(point.summary.metrics(), own.metrics());
    }
  }
  EXPECT_TRUE(found);
}

TEST(LoadSweep, Throughput_follows_a_small_load_and_stays_below_saturation_under_a_large_one) {
  const LoadSweep sweep = sweep_load(make(small_scenario()), 2, {});
  ASSERT_GE(sweep.points.size(), 9U);
  const LoadPoint& least = sweep.points.front();
  // The run ends a little after the last arrival.
  EXPECT_NEAR(least.summary.request_throughput, least.load, 0.05 * least.load);
  EXPECT_LE(sweep.points.back().summary.request_throughput, sweep.saturation * 1.001);
  EXPECT_GT(sweep.points.back().load, sweep.saturation);
  EXPECT_GT(sweep.points.back().summary.ttft.mean, least.summary.ttft.mean);
}

TEST(LoadSweep, A_closed_loop_varies_the_requests_in_flight) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::closed_loop;
  scenario.workload.arrivals.concurrency = 8;
  const LoadSweep sweep = sweep_load(make(scenario), 1, {});
  EXPECT_TRUE(sweep.closed_loop);
  ASSERT_EQ(sweep.points.size(), 6U);
  EXPECT_EQ(sweep.points.front().load, 1);
  EXPECT_EQ(sweep.points.back().load, 32);
  EXPECT_GT(sweep.points.back().summary.request_throughput,
            sweep.points.front().summary.request_throughput);
}

TEST(LoadSweep, Has_nothing_to_vary_where_everything_is_sent_at_once) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  EXPECT_TRUE(sweep_load(make(scenario), 1, {}).points.empty());
}

TEST(InParallel, Does_each_piece_once_and_reports_the_progress) {
  std::array<std::atomic<int>, 50> times{};
  int last = 0;
  in_parallel(
      50, 4,
      [&](int done, int total) {
        EXPECT_EQ(done, ++last);
        EXPECT_EQ(total, 50);
      },
      [&](int i) { ++times[static_cast<std::size_t>(i)]; });
  EXPECT_EQ(last, 50);
  for (const auto& count : times) {
    EXPECT_EQ(count, 1);
  }
  in_parallel(0, 0, {}, [](int) { FAIL(); });
}

TEST(InParallel, Throws_what_a_piece_threw_after_all_have_ended) {
  std::atomic<int> ran{0};
  EXPECT_THROW(in_parallel(10, 2, {},
                           [&](int i) {
                             ++ran;
                             if (i == 3) {
                               throw std::runtime_error("third");
                             }
                           }),
               std::runtime_error);
  EXPECT_EQ(ran, 10);
}

}  // namespace
}  // namespace foretoken
