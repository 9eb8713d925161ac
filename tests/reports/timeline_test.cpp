#include "reports/timeline.h"

#include <gtest/gtest.h>

#include <cmath>

namespace foretoken::reports {
namespace {

constexpr Time second(double s) { return Time(static_cast<std::int64_t>(s * 1e12)); }

StepSample step(double begin, double end, int replica, std::int64_t running, std::int64_t tokens) {
  StepSample sample;
  sample.begin = second(begin);
  sample.end = second(end);
  sample.replica = replica;
  sample.running = running;
  sample.prefill_tokens = tokens;
  return sample;
}

// Two replicas over four seconds. Replica 0: 2 from second 1 on, 0 from 3 on. Replica 1: 4
// from 1.5.
const std::vector<StepSample> kSteps{step(0, 1, 0, 2, 10), step(0, 1.5, 1, 4, 30),
                                     step(1, 3, 0, 0, 50)};

TEST(Timeline, A_state_is_the_sum_over_replicas_averaged_over_time) {
  const page::Series series = state_series(kSteps, &StepSample::running, second(4), 4, "running");
  ASSERT_EQ(series.points.size(), 4U);
  EXPECT_DOUBLE_EQ(series.points[0].x, 0.5);
  EXPECT_NEAR(series.points[0].y, 0, 1e-12);
  // Second 1 to 1.5: 2, then 6.
  EXPECT_NEAR(series.points[1].y, 4, 1e-9);
  EXPECT_EQ(series.points[1].low, 2);
  EXPECT_EQ(series.points[1].high, 6);
  EXPECT_NEAR(series.points[2].y, 6, 1e-9);
  EXPECT_NEAR(series.points[3].y, 4, 1e-9);
}

TEST(Timeline, The_scale_applies_to_mean_and_band) {
  const page::Series series =
      state_series(kSteps, &StepSample::running, second(4), 2, "share", 0.5);
  EXPECT_NEAR(series.points[1].y, 2.5, 1e-9);
  EXPECT_EQ(series.points[1].high, 3);
}

TEST(Timeline, What_steps_do_is_averaged_over_the_steps_that_end_and_absent_where_none_does) {
  const page::Series series =
      step_series(kSteps, &StepSample::prefill_tokens, second(4), 4, "tokens");
  EXPECT_TRUE(std::isnan(series.points[0].y));
  EXPECT_EQ(series.points[1].y, 20);
  EXPECT_EQ(series.points[1].low, 10);
  EXPECT_EQ(series.points[1].high, 30);
  EXPECT_TRUE(std::isnan(series.points[2].y));
  EXPECT_EQ(series.points[3].y, 50);
}

// 100,000 steps of 0.1 s, each of which holds its index modulo 10: every bin sees the mean.
TEST(Timeline, The_integral_of_many_small_steps_is_not_lost_at_the_edges_of_bins) {
  std::vector<StepSample> steps;
  for (int i = 0; i < 100'000; ++i) {
    steps.push_back(step(0.1 * i, 0.1 * (i + 1), 0, i % 10, 0));
  }
  const page::Series series =
      state_series(steps, &StepSample::running, steps.back().end, 300, "running");
  double sum = 0;
  for (const page::Point& point : series.points) {
    sum += point.y / 300;
  }
  EXPECT_NEAR(sum, 4.5, 1e-3);
}

TEST(Timeline, An_empty_run_gives_gaps) {
  const page::Series series = state_series({}, &StepSample::running, kTimeZero, 3, "running");
  for (const page::Point& point : series.points) {
    EXPECT_TRUE(std::isnan(point.y));
  }
}

}  // namespace
}  // namespace foretoken::reports
