#include "sim/cost/gemm_roofline.h"

#include <gtest/gtest.h>

#include "sim/core/random.h"

namespace foretoken {
namespace {

GemmOp gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmOp op;
  op.m = m;
  op.n = n;
  op.k = k;
  return op;
}

TEST(GemmRoofline, One_core_takes_t0_plus_the_larger_of_compute_and_memory) {
  const GemmRoofline roofline{1e-6, 1e12, 1e10, 1};
  // 512 x 1024 x 1024: 2^30 operations at 1e12/s = 1.073741824 ms; bytes 2 x (2^20 + 2 x 2^19) =
  // 4 MiB at 1e10/s = 0.419 ms.
  EXPECT_DOUBLE_EQ(roofline.seconds(gemm(512, 1024, 1024)), 1e-6 + 1.073741824e-3);
  // m = 1: 2 x (2^20 + 2 x 1024) bytes = 2,101,248 -> 210.1248 us.
  EXPECT_DOUBLE_EQ(roofline.seconds(gemm(1, 1024, 1024)), 1e-6 + 210.1248e-6);
}

TEST(GemmRoofline, A_full_wave_reaches_the_peak) {
  // 128 SMs, tiles of 128 x 256: 2048 x 2048 is 16 x 8 = 128 tiles, one exact wave. Memory is so
  // fast that it does not count.
  const GemmRoofline roofline{0, 1e15, 1e20, 128};
  const double flops = 2.0 * 2048 * 2048 * 4096;
  EXPECT_DOUBLE_EQ(roofline.seconds(gemm(2048, 2048, 4096)), flops / 1e15);
}

TEST(GemmRoofline, One_row_more_than_a_wave_costs_a_step) {
  // One row more needs another row of tiles: at least a twentieth more time for 0.05 % more work.
  const GemmRoofline roofline{0, 1e15, 1e15, 128};
  EXPECT_GT(roofline.seconds(gemm(2049, 2048, 4096)),
            1.05 * roofline.seconds(gemm(2048, 2048, 4096)));
}

TEST(GemmRoofline, Waves_never_beat_the_ideal_and_more_hardware_is_never_slower) {
  RandomStream random(1, "gemm_roofline_test");
  for (int i = 0; i < 2000; ++i) {
    const GemmOp op = gemm(random.uniform_int(1, 8192), 16 * random.uniform_int(1, 2048),
                           16 * random.uniform_int(1, 2048));
    const GemmRoofline waves{2e-6, 6e14, 2.5e12, 132};
    const GemmRoofline ideal{2e-6, 6e14, 2.5e12, 1};
    ASSERT_GE(waves.seconds(op), ideal.seconds(op) * (1 - 1e-12));
    ASSERT_LE((GemmRoofline{2e-6, 7e14, 2.5e12, 132}).seconds(op), waves.seconds(op));
    ASSERT_LE((GemmRoofline{2e-6, 6e14, 3e12, 132}).seconds(op), waves.seconds(op));
    GemmOp larger = op;
    larger.m += 64;
    ASSERT_GE(waves.seconds(larger), waves.seconds(op)) << op.m << "x" << op.n << "x" << op.k;
  }
}

}  // namespace
}  // namespace foretoken
