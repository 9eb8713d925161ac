#include "kernels/layer/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/base/error.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

std::vector<Bf16> random_row(std::int64_t count, std::uint64_t seed) {
  std::vector<Bf16> out;
  for (const float x : synthetic_matrix(SyntheticKind::normal, 1, count, seed)) {
    out.push_back(to_bf16(x));
  }
  return out;
}

TEST(PagedKvCache, Returns_what_was_stored_whatever_the_order_of_blocks) {
  const std::vector<std::int32_t> table{5, 0, 3};
  for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
    PagedKvCache cache({2, 24, format}, 6);
    for (std::int64_t p = 0; p < 40; ++p) {
      const auto seed = static_cast<std::uint64_t>(p);
      cache.store(table, p, random_row(48, seed), random_row(48, seed + 100));
    }
    for (std::int64_t p = 0; p < 40; ++p) {
      for (int head = 0; head < 2; ++head) {
        std::vector<float> got(24);
        const auto row = cache.value(table, p, head);
        vector_ops_base().widen(row.values, format, row.scale, 24, got.data());
        const auto want = random_row(48, static_cast<std::uint64_t>(p) + 100);
        for (int i = 0; i < 24; ++i) {
          const float value = to_float(want[static_cast<std::size_t>(head * 24 + i)]);
          // int8: half a step of the row's scale; fp8: half of 2^-3, or half a denormal step.
          const double tolerance = format == KvFormat::bf16 ? 0
                                   : format == KvFormat::int8
                                       ? 0.501 * row.scale
                                       : std::fabs(value) * 0.0626 + row.scale * 0x1p-10;
          EXPECT_NEAR(got[static_cast<std::size_t>(i)], value, tolerance);
        }
      }
    }
  }
}

TEST(PagedKvCache, Counts_bytes_with_scales) {
  // llama-3.1-8b: 8 heads of 128. bf16: 2 x 8 x 256 = 4,096; one byte: 2 x 8 x (128 + 4) = 2,112.
  EXPECT_EQ((KvShape{8, 128, KvFormat::bf16}.bytes_per_token()), 4096);
  EXPECT_EQ((KvShape{8, 128, KvFormat::int8}.bytes_per_token()), 2112);
}

TEST(PagedKvCache, Refuses_positions_outside_the_table) {
  PagedKvCache cache({1, 8, KvFormat::bf16}, 2);
  const std::vector<std::int32_t> table{1}, bad{2};
  const std::vector<Bf16> row(8);
  EXPECT_THROW(cache.store(table, 16, row, row), KernelBug);
  EXPECT_THROW(cache.store(bad, 0, row, row), KernelBug);
}

}  // namespace
}  // namespace foretoken::kernels
