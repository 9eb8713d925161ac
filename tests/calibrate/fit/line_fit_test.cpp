#include "calibrate/fit/line_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

std::vector<LinePoint> line(double t0, double rate, double noise) {
  RandomStream random(3, "line_fit_test");
  std::vector<LinePoint> points;
  for (double work = 1e3; work < 1e9; work *= 1.5) {
    points.push_back({work, (t0 + work / rate) * std::exp(noise * random.normal()), 0});
  }
  return points;
}

TEST(LineFit, Recovers_an_exact_line) {
  const LineFit fit = fit_line(line(5e-6, 1e10, 0), 0.01);
  EXPECT_NEAR(fit.t0, 5e-6, 5e-9);
  EXPECT_NEAR(fit.rate / 1e10, 1, 1e-3);
  EXPECT_LT(fit.held_out.mean, 0.002);
  EXPECT_DOUBLE_EQ(fit.sd, 0.01);  // no less than the repeatability
}

TEST(LineFit, Reports_the_noise_it_was_given_as_spread) {
  // 34 points with 10 % noise: |error| has mean 8 % and its 90 % quantile over 1.645 is near 10 %.
  const LineFit fit = fit_line(line(5e-6, 1e10, 0.1), 0.01);
  EXPECT_NEAR(fit.rate / 1e10, 1, 0.1);
  EXPECT_GT(fit.sd, 0.05);
  EXPECT_LT(fit.sd, 0.2);
  EXPECT_GT(fit.held_out.coverage, 0.8);
}

TEST(LineFit, A_bound_set_by_another_resource_is_kept_out_of_the_rate) {
  // Every second point waits for memory: 1 ms, whatever the work.
  std::vector<LinePoint> points = line(5e-6, 1e10, 0);
  for (std::size_t i = 0; i < points.size(); i += 2) {
    points[i].least = 1e-3;
    points[i].seconds = 5e-6 + std::max(points[i].work / 1e10, 1e-3);
  }
  const LineFit fit = fit_line(points, 0.01);
  EXPECT_NEAR(fit.rate / 1e10, 1, 0.01);
  EXPECT_NEAR(fit.t0, 5e-6, 1e-7);
}

}  // namespace
}  // namespace foretoken::calibrate
