#include "calibrate/fit/search.h"

#include <gtest/gtest.h>

#include <cmath>

namespace foretoken::calibrate {
namespace {

TEST(Search, Finds_the_minimum_of_a_function_of_logarithms) {
  // Smallest at (2e-6, 3e12); the terms are coupled.
  const auto cost = [](const std::vector<double>& p) {
    const double a = std::log(p[0] / 2e-6);
    const double b = std::log(p[1] / 3e12);
    return a * a + b * b + 0.8 * a * b;
  };
  const auto best = minimise_log(cost, {1e-5, 1e12});
  EXPECT_NEAR(best[0] / 2e-6, 1, 1e-3);
  EXPECT_NEAR(best[1] / 3e12, 1, 1e-3);
}

TEST(Search, Never_returns_worse_than_the_start) {
  const auto jagged = [](const std::vector<double>& p) { return p[0] == 1.0 ? 0.0 : 1.0; };
  EXPECT_EQ(minimise_log(jagged, {1.0})[0], 1.0);
}

TEST(Search, Quantiles_interpolate) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({1, 2}, 0.25), 1.25);
  EXPECT_EQ(quantile({5}, 0.9), 5);
  EXPECT_EQ(mean({1, 2, 6}), 3);
}

}  // namespace
}  // namespace foretoken::calibrate
