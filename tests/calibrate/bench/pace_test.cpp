#include "calibrate/bench/pace.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/thread_pair.h"

namespace foretoken::calibrate {
namespace {

TEST(Pace, TheUsualReadingIsInTheMiddleOfTheUndisturbedOnes) {
  // A few at a high clock, some as usual, many beside a neighbour.
  std::vector<double> readings{0.86, 0.87, 0.88, 0.88};
  for (int i = 0; i < 21; ++i) {
    readings.push_back(1 + 0.004 * i);
    readings.push_back(1.8 + 0.001 * i);
    readings.push_back(1.9 + 0.001 * i);
    readings.push_back(1.9 + 0.001 * i);
  }
  EXPECT_NEAR(usual_reading(readings), 1.04, 0.01);
  EXPECT_EQ(usual_reading({7}), 7);
}

TEST(Pace, A_reading_takes_time_and_repeats_itself_somewhere) {
  // The two nearest of many: whatever the machine does beside the test, some are alike.
  std::vector<double> readings(50);
  std::generate(readings.begin(), readings.end(), sentinel_seconds);
  std::sort(readings.begin(), readings.end());
  double nearest = readings.back() / readings.front();
  for (std::size_t i = 1; i < readings.size(); ++i) {
    nearest = std::min(nearest, readings[i] / readings[i - 1]);
  }
  EXPECT_GT(readings.front(), 1e-6);
  EXPECT_LT(nearest, 1.01);
}

TEST(Pace, Two_cores_take_the_arithmetic_of_one_and_an_exchange) {
  const auto cores = this_machine().cores;
  if (cores.size() < 2) {
    GTEST_SKIP() << "one core";
  }
  CorePair pair;
  double least = sentinel_seconds();
  double least_of_two = pair_sentinel_seconds(pair, cores[0], cores[1]);
  for (int i = 0; i < 30; ++i) {
    least = std::min(least, sentinel_seconds());
    least_of_two = std::min(least_of_two, pair_sentinel_seconds(pair, cores[0], cores[1]));
  }
  EXPECT_GT(least_of_two, least);
}

TEST(Pace, TimesGoBackAndForth) {
  EXPECT_DOUBLE_EQ(at_pace(3, 1, 2, 1), 1.5);
  EXPECT_DOUBLE_EQ(at_pace(3, 0, 2, 1), 3);
  EXPECT_DOUBLE_EQ(at_pace(at_pace(3, 0.6, 2, 1), 0.6, 1, 2), 3);
}

TEST(Pace, WhatWaitsForMemoryFollowsItLess) {
  const double few = pace_elasticity("gemm.w8a8", {1, 4096, 4096});
  const double some = pace_elasticity("gemm.w8a8", {48, 4096, 4096});
  const double many = pace_elasticity("gemm.w8a8", {4096, 4096, 4096});
  EXPECT_LT(few, some);
  EXPECT_LT(some, many);
  EXPECT_EQ(few, pace_elasticity("gemm.bf16", {16, 768, 768}));
  EXPECT_EQ(many, pace_elasticity("gemm.w4a16/g128", {1, 4096, 4096}));  // unpacks
  EXPECT_LT(pace_elasticity("attention.decode.bf16", {8, 8, 64, 0, 1, 64}),
            pace_elasticity("attention.prefill.bf16", {8, 8, 64, 0, 1, 64}));
  EXPECT_EQ(pace_elasticity("memory.copy", {1 << 20, 1}), 0);
}

}  // namespace
}  // namespace foretoken::calibrate
