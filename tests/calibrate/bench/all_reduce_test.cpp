#include "calibrate/bench/all_reduce.h"

#include <gtest/gtest.h>

#include "calibrate/bench/machine.h"

namespace foretoken::calibrate {
namespace {

TEST(PairAllReduce, Both_ranks_end_with_the_sum) {
  const auto cores = this_machine().cores;
  for (const std::size_t values : {1, 2, 7, 1000, 65537}) {
    PairAllReduce pair(values);
    for (std::size_t i = 0; i < values; ++i) {
      pair.vector(0)[i] = to_bf16(static_cast<float>(i % 100));
      pair.vector(1)[i] = to_bf16(static_cast<float>(2 * (i % 50)));
    }
    run_pair(cores.front(), cores.back(), [&](int rank) { pair.run(rank); });
    for (std::size_t i = 0; i < values; ++i) {
      // Whole numbers below 256 are exact in bf16.
      const auto sum = static_cast<float>(i % 100 + 2 * (i % 50));
      ASSERT_EQ(to_float(pair.vector(0)[i]), sum);
      ASSERT_EQ(to_float(pair.vector(1)[i]), sum);
    }
  }
}

TEST(PairAllReduce, Timing_reports_samples_and_a_positive_time) {
  const auto cores = this_machine().cores;
  const Timing timing = time_all_reduce(cores.front(), cores.back(), 4096, 0.001);
  EXPECT_GE(timing.samples, 3);
  EXPECT_GT(timing.best, 0);
  EXPECT_GE(timing.median, timing.best);
}

}  // namespace
}  // namespace foretoken::calibrate
