#include "calibrate/bench/timing.h"

#include <gtest/gtest.h>

namespace foretoken::calibrate {
namespace {

TEST(Timing, Summary_has_minimum_median_and_relative_spread) {
  // Sorted 1 2 3 4 5: median 3, quartiles 2 and 4.
  const Timing timing = summarise({5, 1, 4, 2, 3});
  EXPECT_EQ(timing.best, 1);
  EXPECT_EQ(timing.lower, 2);
  EXPECT_EQ(timing.median, 3);
  EXPECT_DOUBLE_EQ(timing.spread, 2.0 / 3);
  EXPECT_EQ(timing.samples, 5);
  EXPECT_EQ(summarise({}).samples, 0);
}

TEST(Timing, Calls_are_numbered_without_gaps) {
  int next = 0;
  bool in_order = true;
  TimingLimits limits;
  limits.seconds = 0.001;
  time_calls([&](int i) { in_order = in_order && i == next++; }, limits);
  EXPECT_TRUE(in_order);
  EXPECT_GT(next, limits.least_samples);
}

TEST(Timing, Takes_at_least_the_samples_asked_for_and_never_more_than_the_most) {
  TimingLimits limits;
  limits.seconds = 0;
  limits.least_samples = 7;
  const Timing few = time_calls([](int) {}, limits);
  EXPECT_GE(few.samples + few.dropped, 7);
  limits.seconds = 10;
  limits.most_samples = 9;
  EXPECT_EQ(time_calls([](int) {}, limits).samples, 9);
}

}  // namespace
}  // namespace foretoken::calibrate
