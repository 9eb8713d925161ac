#include "sim/cost/estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken {
namespace {

Estimate family_only(std::uint64_t key) {
  Estimate estimate;
  estimate.seconds = 1e-3;
  estimate.sd_family = 0.1;
  estimate.family_key = key;
  return estimate;
}

// Standard normal deviate behind a factor of an estimate with one spread.
double deviate(const CostDraw& draw, const Estimate& estimate, double sd) {
  return std::log(draw.factor(estimate)) / sd;
}

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

TEST(CostDraw, The_point_estimate_has_factor_one) {
  Estimate estimate = family_only(7);
  estimate.sd_shape = 0.3;
  EXPECT_EQ(CostDraw().factor(estimate), 1);
  EXPECT_EQ(CostDraw(1, 0, 0).factor(estimate), 1);
  EXPECT_EQ(CostDraw().duration(estimate), Time(1'000'000'000));  // 1 ms in ps
}

TEST(CostDraw, Each_replication_of_a_family_falls_into_its_own_stratum) {
  for (const int replications : {1, 2, 7, 16, 100}) {
    for (std::uint64_t key = 0; key < 20; ++key) {
      std::set<int> strata;
      for (int r = 0; r < replications; ++r) {
        const double z = deviate(CostDraw(42, r, replications), family_only(key), 0.1);
        strata.insert(static_cast<int>(normal_cdf(z) * replications));
      }
      EXPECT_EQ(strata.size(), static_cast<std::size_t>(replications)) << "family " << key;
    }
  }
}

TEST(CostDraw, Family_factors_have_mean_log_zero_and_the_stated_spread) {
  // 64 strata: the mean of z is 0 within the jitter of a stratum, its variance 1 within a few
  // percent.
  const int replications = 64;
  for (std::uint64_t key = 100; key < 110; ++key) {
    double sum = 0, squares = 0;
    for (int r = 0; r < replications; ++r) {
      const double z = deviate(CostDraw(3, r, replications), family_only(key), 0.1);
      sum += z;
      squares += z * z;
    }
    EXPECT_NEAR(sum / replications, 0, 0.05);
    EXPECT_NEAR(squares / replications, 1, 0.2);
  }
}

TEST(CostDraw, Shape_effects_are_standard_normal_over_shapes) {
  const CostDraw draw(5, 3, 16);
  double sum = 0, squares = 0;
  const int shapes = 20000;
  for (int i = 0; i < shapes; ++i) {
    Estimate estimate;
    estimate.seconds = 1;
    estimate.sd_shape = 0.2;
    estimate.shape_key = mix64(static_cast<std::uint64_t>(i));
    const double z = deviate(draw, estimate, 0.2);
    sum += z;
    squares += z * z;
  }
  // Standard errors: 1/sqrt(20000) = 0.007 and sqrt(2/20000) = 0.01; four of them are allowed.
  EXPECT_NEAR(sum / shapes, 0, 0.028);
  EXPECT_NEAR(squares / shapes, 1, 0.04);
}

TEST(CostDraw, Two_families_are_not_drawn_alike) {
  // Were the strata of all families in one order, the correlation would be 1. Averaged over pairs
  // of families that of independent permutations of 16 has mean 0 and standard error 1/sqrt(15 x
  // 200).
  const int replications = 16;
  double correlation = 0;
  for (std::uint64_t pair = 0; pair < 200; ++pair) {
    for (int r = 0; r < replications; ++r) {
      const CostDraw draw(9, r, replications);
      correlation += deviate(draw, family_only(2 * pair), 0.1) *
                     deviate(draw, family_only(2 * pair + 1), 0.1) / replications;
    }
  }
  EXPECT_NEAR(correlation / 200, 0, 0.08);
}

TEST(CostDraw, Same_seed_same_factor_and_another_seed_another) {
  Estimate estimate = family_only(1);
  estimate.sd_shape = 0.1;
  estimate.shape_key = 2;
  EXPECT_EQ(CostDraw(11, 4, 16).factor(estimate), CostDraw(11, 4, 16).factor(estimate));
  EXPECT_NE(CostDraw(11, 4, 16).factor(estimate), CostDraw(12, 4, 16).factor(estimate));
}

TEST(CostDraw, A_replication_out_of_range_is_a_bug) {
  EXPECT_THROW(CostDraw(1, 16, 16), InternalError);
  EXPECT_THROW(CostDraw(1, -1, 16), InternalError);
}

}  // namespace
}  // namespace foretoken
