#include "sim/cost/residual_field.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace foretoken {
namespace {

TEST(Cholesky, Solves_and_inverts_a_small_system) {
  // [4 2; 2 3] has the inverse [3 -2; -2 4] / 8.
  const Cholesky factor({4, 0, 2, 3}, 2);
  const auto x = factor.solve({8, 8});
  EXPECT_NEAR(x[0], 1, 1e-12);
  EXPECT_NEAR(x[1], 2, 1e-12);
  const auto inverse = factor.inverse();
  EXPECT_NEAR(inverse[0], 0.375, 1e-12);
  EXPECT_NEAR(inverse[1], -0.25, 1e-12);
  EXPECT_NEAR(inverse[2], -0.25, 1e-12);
  EXPECT_NEAR(inverse[3], 0.5, 1e-12);
  // L = [2 0; 1 sqrt 2], so L^-1 (2, 1) = (1, 0).
  const auto forward = factor.forward({2, 1});
  EXPECT_NEAR(forward[0], 1, 1e-12);
  EXPECT_NEAR(forward[1], 0, 1e-12);
}

TEST(Cholesky, Refuses_a_matrix_that_is_not_positive_definite) {
  EXPECT_THROW(Cholesky({1, 0, 2, 1}, 2), std::runtime_error);
}

ResidualField::Samples two_samples() { return {1, {0, 4}, {0.2, -0.1}, {}, {}}; }
ResidualField::Settings settings(double noise) { return {0.3, noise, {1}, 1, 1, 1}; }

TEST(ResidualField, Passes_through_samples_without_noise) {
  const ResidualField field(two_samples(), settings(1e-6));
  EXPECT_NEAR(field.at(std::vector{0.0}).log_residual, 0.2, 1e-6);
  EXPECT_NEAR(field.at(std::vector{4.0}).log_residual, -0.1, 1e-6);
  EXPECT_LT(field.at(std::vector{0.0}).kriging_sd, 1e-3);
}

TEST(ResidualField, Falls_back_to_the_formula_and_its_spread_far_away) {
  const ResidualField field(two_samples(), settings(0.01));
  const auto far = field.at(std::vector{100.0});
  EXPECT_NEAR(far.log_residual, 0, 1e-9);
  EXPECT_NEAR(far.kriging_sd, std::hypot(0.3, 0.01), 1e-9);
}

TEST(ResidualField, One_sample_is_weighted_by_its_noise) {
  // Conditional mean of one sample: sd^2 / (sd^2 + noise^2) of its value, there 0.5 of 0.2.
  const ResidualField field({1, {0}, {0.2}, {}, {}}, settings(0.3));
  EXPECT_NEAR(field.at(std::vector{0.0}).log_residual, 0.1, 1e-12);
  // An outlier's excess noise weighs in the same way: 0.09 / (0.09 + 0.09 + 0.18) = 1/4.
  const ResidualField doubtful({1, {0}, {0.2}, {std::sqrt(0.18)}, {}}, settings(0.3));
  EXPECT_NEAR(doubtful.at(std::vector{0.0}).log_residual, 0.05, 1e-12);
}

TEST(ResidualField, Spread_is_wider_where_samples_surprised) {
  ResidualField::Samples samples = two_samples();
  samples.surprise = {2, 0.5};
  const ResidualField field(samples, settings(0.01));
  EXPECT_GT(field.at(std::vector{0.1}).sd, 1.5 * field.at(std::vector{3.9}).sd);
  // Far from both the mean surprise holds.
  const auto far = field.at(std::vector{100.0});
  EXPECT_NEAR(far.sd, 1.25 * std::pow(far.kriging_sd, 0.75), 1e-9);
}

TEST(ResidualField, Without_residuals_the_spread_is_that_of_the_region) {
  ResidualField::Samples samples = two_samples();
  samples.surprise = {0.2, 0.05};
  const ResidualField field(samples, {0, 1, {1}, 0.1, 0.5, 2});
  EXPECT_EQ(field.at(std::vector{0.0}).log_residual, 0);
  // At a sample: twice (0.2 + 0.5 x the mean, 0.125) / 1.5. Far away: twice the mean.
  EXPECT_NEAR(field.at(std::vector{0.0}).sd, 2 * 0.2625 / 1.5, 1e-12);
  EXPECT_NEAR(field.at(std::vector{100.0}).sd, 0.25, 1e-12);
}

TEST(ResidualField, Matern_starts_at_one_and_falls) {
  EXPECT_EQ(matern(0), 1);
  // (1 + sqrt 3) exp(-sqrt 3) = 0.4834
  EXPECT_NEAR(matern(1), 0.4834, 1e-4);
}

}  // namespace
}  // namespace foretoken
