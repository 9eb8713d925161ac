#include "calibrate/fit/sampling.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

namespace foretoken::calibrate {
namespace {

std::vector<Sample> grid() {
  std::vector<Sample> all;
  for (std::int64_t n = 32; n <= 32768; n *= 2) {
    for (std::int64_t k = 32; k <= 32768; k *= 2) {
      for (std::int64_t m = 1; m <= 4096; m *= 2) {
        all.push_back({{m, n, k}, 1e-6});
      }
    }
  }
  return all;
}

TEST(Sampling, Chosen_and_unseen_share_no_shape) {
  const Sampling sampling = choose_gemm_samples(grid(), 20, 5);
  EXPECT_EQ(sampling.chosen.size(), 100u);
  std::set<std::pair<std::int64_t, std::int64_t>> chosen;
  for (const Sample& sample : sampling.chosen) {
    chosen.insert({sample.shape[1], sample.shape[2]});
  }
  EXPECT_EQ(chosen.size(), 20u);
  // 11 x 11 shapes of 13 m each; 101 shapes are left.
  EXPECT_EQ(sampling.unseen.size(), 101u * 13);
  for (const Sample& sample : sampling.unseen) {
    EXPECT_FALSE(chosen.contains({sample.shape[1], sample.shape[2]}));
  }
}

TEST(Sampling, Each_quarter_of_the_square_gets_its_share) {
  std::map<std::pair<bool, bool>, int> count;
  for (const Sample& sample : choose_gemm_samples(grid(), 32, 1).chosen) {
    ++count[{sample.shape[1] > 1024, sample.shape[2] > 1024}];
  }
  for (const auto& [quarter, number] : count) {
    EXPECT_GE(number, 4);  // eight on average
  }
  EXPECT_EQ(count.size(), 4u);
}

TEST(Sampling, Along_m_the_whole_range_is_covered) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::set<std::int64_t>> by_shape;
  for (const Sample& sample : choose_gemm_samples(grid(), 10, 4).chosen) {
    by_shape[{sample.shape[1], sample.shape[2]}].insert(sample.shape[0]);
  }
  for (const auto& [shape, m] : by_shape) {
    EXPECT_EQ(m.size(), 4u);
    EXPECT_LE(*m.begin(), 8);
    EXPECT_GE(*m.rbegin(), 512);
  }
}

TEST(Sampling, Another_start_gives_another_design) {
  EXPECT_NE(choose_gemm_samples(grid(), 20, 5).chosen.front().shape,
            choose_gemm_samples(grid(), 20, 5, 1000).chosen.front().shape);
}

}  // namespace
}  // namespace foretoken::calibrate
