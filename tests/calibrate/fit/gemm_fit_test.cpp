#include "calibrate/fit/gemm_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

// Samples of a device that is a roofline, times a factor per (n, k) shape and a factor per call.
std::vector<Sample> samples_of(const GemmRoofline& truth, double shape_noise, double call_noise) {
  RandomStream random(5, "gemm_fit_test");
  std::vector<Sample> samples;
  for (int shape = 0; shape < 30; ++shape) {
    const std::int64_t n = 64 * random.uniform_int(2, 128);
    const std::int64_t k = 64 * random.uniform_int(2, 128);
    const double factor = std::exp(shape_noise * random.normal());
    for (std::int64_t m = 1; m <= 1024; m *= 2) {
      GemmOp op;
      op.m = m;
      op.n = n;
      op.k = k;
      samples.push_back(
          {{m, n, k}, truth.seconds(op) * factor * std::exp(call_noise * random.normal())});
    }
  }
  return samples;
}

const GemmRoofline kTruth{4e-6, 8e11, 1.2e10, 1};

TEST(GemmFit, Recovers_an_exact_roofline) {
  const GemmFit fit = fit_gemm(samples_of(kTruth, 0, 0), GemmOp{}, 1, 0.01);
  EXPECT_NEAR(fit.roofline.t0 / kTruth.t0, 1, 0.02);
  EXPECT_NEAR(fit.roofline.peak / kTruth.peak, 1, 0.002);
  EXPECT_NEAR(fit.roofline.bandwidth / kTruth.bandwidth, 1, 0.002);
  EXPECT_LT(fit.unseen_shapes.mean, 0.002);
}

TEST(GemmFit, Shapes_left_out_show_the_spread_between_shapes) {
  // A factor of 10 % per shape cannot be known beforehand: mean |error| of about 8 %, and intervals
  // wide enough for it.
  const GemmFit fit = fit_gemm(samples_of(kTruth, 0.1, 0.01), GemmOp{}, 1, 0.01);
  EXPECT_GT(fit.unseen_shapes.mean, 0.04);
  EXPECT_LT(fit.unseen_shapes.mean, 0.15);
  EXPECT_GE(fit.unseen_shapes.coverage, 0.8);
  EXPECT_LE(fit.unseen_shapes.coverage, 0.96);
  // The spread found is that of the shapes; along m, where calls vary by 1 %, little is left.
  EXPECT_NEAR(fit.sd_shape, 0.1, 0.06);
  EXPECT_LT(fit.sd_distance, 0.03);
}

TEST(GemmFit, Every_sample_is_left_out_exactly_once) {
  const auto samples = samples_of(kTruth, 0.05, 0.01);
  EXPECT_EQ(fit_gemm(samples, GemmOp{}, 1, 0.01).unseen_shapes.samples,
            static_cast<int>(samples.size()));
}

TEST(GemmFit, Summary_of_errors_follows_its_definitions) {
  // Errors of 0 and log 1.1 (10 %) with sd 0.05: 1.645 x 0.05 = 0.082 < log 1.1 = 0.095.
  const HeldOut held_out = summarise_errors({0, 0, 0, std::log(1.1)}, {0.05, 0.05, 0.05, 0.05});
  EXPECT_EQ(held_out.samples, 4);
  EXPECT_NEAR(held_out.mean, 0.025, 1e-12);
  EXPECT_DOUBLE_EQ(held_out.coverage, 0.75);
  EXPECT_NEAR(held_out.half_width, std::sinh(1.6448536 * 0.05), 1e-6);
}

TEST(GemmFit, Is_deterministic) {
  const auto samples = samples_of(kTruth, 0.1, 0.02);
  const GemmFit a = fit_gemm(samples, GemmOp{}, 1, 0.01);
  const GemmFit b = fit_gemm(samples, GemmOp{}, 1, 0.01);
  EXPECT_EQ(a.roofline.peak, b.roofline.peak);
  EXPECT_EQ(a.sd_distance, b.sd_distance);
}

}  // namespace
}  // namespace foretoken::calibrate
