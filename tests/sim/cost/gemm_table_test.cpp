#include "sim/cost/gemm_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace foretoken {
namespace {

const GemmRoofline kRoofline{1e-6, 1e12, 1e10, 1};

double roofline(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmOp op;
  op.m = m;
  op.n = n;
  op.k = k;
  return kRoofline.seconds(op);
}

Sample sample(std::int64_t m, std::int64_t n, std::int64_t k, double factor) {
  return {{m, n, k}, factor * roofline(m, n, k)};
}

GemmTable::Prediction predict(const std::vector<Sample>& samples, std::int64_t m, std::int64_t n,
                              std::int64_t k) {
  GemmOp op;
  op.m = m;
  op.n = n;
  op.k = k;
  return GemmTable(samples, kRoofline, op).predict(op);
}

TEST(GemmTable, A_sample_is_returned_exactly) {
  const std::vector<Sample> samples{sample(1, 1000, 3000, 1.3), sample(64, 1000, 3000, 0.9),
                                    sample(64, 4096, 4096, 2.0)};
  EXPECT_NEAR(predict(samples, 64, 1000, 3000).log_residual, std::log(0.9), 1e-12);
  EXPECT_EQ(predict(samples, 64, 1000, 3000).distance, 0);
  EXPECT_TRUE(predict(samples, 64, 1000, 3000).inside);
  EXPECT_NEAR(predict(samples, 64, 4096, 4096).log_residual, std::log(2.0), 1e-12);
}

TEST(GemmTable, Repeated_samples_count_with_their_geometric_mean) {
  const std::vector<Sample> samples{sample(8, 512, 512, 2.0), sample(8, 512, 512, 8.0)};
  EXPECT_NEAR(predict(samples, 8, 512, 512).log_residual, std::log(4.0), 1e-12);
}

TEST(GemmTable, Between_two_m_the_residual_is_linear_in_log_m) {
  // m = 32 is half way from 16 to 64 on the log scale: sqrt(1.0 x 2.0).
  const std::vector<Sample> samples{sample(16, 512, 512, 1.0), sample(64, 512, 512, 2.0),
                                    sample(32, 1024, 512, 5.0)};
  EXPECT_NEAR(predict(samples, 32, 512, 512).log_residual, 0.5 * std::log(2.0), 1e-12);
}

TEST(GemmTable, Along_m_nothing_jumps) {
  std::vector<Sample> samples;
  for (std::int64_t m = 1; m <= 512; m *= 2) {
    samples.push_back(sample(m, 768, 768, m % 3 == 1 ? 1.1 : 0.9));
    samples.push_back(sample(m, 2048, 768, 1.5));
  }
  GemmOp op;
  const GemmTable table(samples, kRoofline, op);
  const auto near = table.neighbourhood(768, 768);
  for (std::int64_t m = 2; m <= 4096; ++m) {
    const double step = std::log2(static_cast<double>(m) / static_cast<double>(m - 1));
    // Residuals move by at most log(1.1/0.9) = 0.2 in a doubling inside the range; the blend with
    // the neighbour beyond it moves by less than its distance from it.
    EXPECT_LE(
        std::abs(table.predict(near, m).log_residual - table.predict(near, m - 1).log_residual),
        0.21 * step + 1e-9)
        << m;
  }
}

TEST(GemmTable, Near_samples_pull_and_far_away_the_roofline_remains) {
  const std::vector<Sample> samples{sample(16, 1024, 1024, 2.0)};
  const double near = predict(samples, 16, 1152, 1024).log_residual;
  const double further = predict(samples, 16, 4096, 1024).log_residual;
  const double far = predict(samples, 16, 1 << 20, 1 << 20).log_residual;
  EXPECT_GT(near, 0.95 * std::log(2.0));
  EXPECT_LT(further, near);
  EXPECT_GT(further, far);
  // Ten doublings in n and in k: 1/200 against the roofline's 1/25.
  EXPECT_NEAR(far, std::log(2.0) / (1 + 200.0 / 25), 1e-9);
}

TEST(GemmTable, Distance_counts_doublings_to_the_nearest_sample) {
  const std::vector<Sample> samples{sample(16, 1024, 1024, 1.0), sample(16, 256, 256, 1.0)};
  EXPECT_NEAR(predict(samples, 16, 4096, 1024).distance, 2, 1e-12);
  EXPECT_NEAR(predict(samples, 16, 8192, 16384).distance, 5, 1e-12);  // 3 and 4 doublings
}

TEST(GemmTable, Outside_the_sampled_range_says_so) {
  const std::vector<Sample> samples{sample(1, 256, 256, 1.0), sample(512, 4096, 4096, 1.0)};
  EXPECT_TRUE(predict(samples, 100, 1000, 1000).inside);
  EXPECT_TRUE(predict(samples, 512, 4096, 256).inside);
  EXPECT_FALSE(predict(samples, 513, 1000, 1000).inside);
  EXPECT_FALSE(predict(samples, 100, 4097, 1000).inside);
  EXPECT_FALSE(predict(samples, 100, 1000, 255).inside);
}

}  // namespace
}  // namespace foretoken
