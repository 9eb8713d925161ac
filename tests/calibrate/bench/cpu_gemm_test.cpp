#include "calibrate/bench/cpu_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

// Whole numbers in [-limit, limit]: exact in int8, and in bf16 up to 256.
std::vector<float> whole_numbers(std::size_t count, int limit, const char* purpose) {
  RandomStream random(1, purpose);
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(random.uniform_int(-limit, limit));
  }
  return values;
}

void expect_product(CpuFormat format, std::int64_t m, std::int64_t n, std::int64_t k, int limit,
                    float scale) {
  const auto act = whole_numbers(static_cast<std::size_t>(m * k), limit, "act");
  const auto weight = whole_numbers(static_cast<std::size_t>(n * k), limit, "weight");
  const auto out = CpuGemm::multiply(format, m, n, k, act, weight);
  for (std::int64_t row = 0; row < m; ++row) {
    for (std::int64_t column = 0; column < n; ++column) {
      double sum = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        sum += static_cast<double>(act[row * k + i]) * weight[column * k + i];
      }
      // The sum is exact; one rounding to bf16, half a unit of 8 bits, remains.
      const double expected = sum * scale;
      ASSERT_NEAR(out[row * n + column], expected, std::abs(expected) / 256 + 1e-6)
          << m << "x" << n << "x" << k << " at " << row << ", " << column;
    }
  }
}

TEST(CpuGemm, Bf16_products_are_exact_up_to_the_output_rounding) {
  use_one_thread();
  expect_product(CpuFormat::bf16, 1, 96, 64, 8, 1);
  expect_product(CpuFormat::bf16, 33, 100, 72, 8, 1);
}

TEST(CpuGemm, Int8_products_are_exact_up_to_scale_and_output_rounding) {
  use_one_thread();
  expect_product(CpuFormat::int8, 1, 96, 64, 127, 0.01F);
  expect_product(CpuFormat::int8, 33, 100, 72, 127, 0.01F);
}

TEST(CpuGemm, A_weight_larger_than_the_pool_is_a_bug) {
  Pool pool(1 << 16);
  EXPECT_THROW(CpuGemm(CpuFormat::bf16, 1, 1024, 1024, pool), InternalError);
}

}  // namespace
}  // namespace foretoken::calibrate
