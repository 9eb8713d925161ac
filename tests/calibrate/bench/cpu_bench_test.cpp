#include "calibrate/bench/cpu_bench.h"

#include <gtest/gtest.h>

#include <set>

#include "calibrate/bench/cpu_subjects.h"
#include "kernels/gemm/packed_weights.h"
#include "sim/config/sample_file.h"
#include "sim/cost/gemm_format.h"

namespace foretoken::calibrate {
namespace {

TEST(CpuBench, Shapes_cover_the_shipped_small_models_and_do_not_repeat) {
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  for (const GemmShape& shape : gemm_shapes(20)) {
    EXPECT_TRUE(seen.insert({shape.n, shape.k}).second);
    EXPECT_GT(shape.n, 0);
    EXPECT_GT(shape.k, 0);
  }
  // tiny-llama-125m at tensor 2: QKV 3 x 768 / 2 by 768, down 768 by 2048 / 2, lm_head 32000 / 2.
  EXPECT_TRUE(seen.contains({1152, 768}));
  EXPECT_TRUE(seen.contains({768, 1024}));
  EXPECT_TRUE(seen.contains({16000, 768}));
  // llama-1b at tensor 1: gate and up together 2 x 8192.
  EXPECT_TRUE(seen.contains({16384, 2048}));
}

TEST(CpuBench, Every_format_is_known_to_the_kernels_and_to_the_simulator) {
  for (const std::string& name : cpu_gemm_formats()) {
    EXPECT_TRUE(parse_gemm_format_name(name).has_value()) << name;
    EXPECT_NO_THROW(kernel_format(name)) << name;
  }
}

TEST(CpuBench, Every_case_has_a_table_in_profiles_and_none_stands_twice) {
  CpuBench bench(this_machine());
  for (const bool quick : {true, false}) {
    SuiteOptions options;
    options.quick = quick;
    std::set<std::string> names;
    for (const BenchCase& one : bench.cases(options)) {
      const config::SampleFamily* family = config::family_of_key(one.family);
      ASSERT_NE(family, nullptr) << one.family;
      EXPECT_EQ(family->shape.size(), one.shape.size()) << one.family;
      EXPECT_TRUE(names.insert(case_name(one.family, one.shape)).second);
    }
    EXPECT_GT(names.size(), quick ? 500u : 2000u);
  }
}

TEST(CpuBench, One_case_of_every_family_can_be_timed) {
  CpuBench bench(this_machine());
  SuiteOptions options;
  options.quick = true;
  std::set<std::string> seen;
  for (const BenchCase& one : bench.cases(options)) {
    if (seen.insert(one.family).second) {
      const Timing timing = one.measure(0);
      EXPECT_GT(timing.*one.statistic, 0) << one.family;
      EXPECT_GE(timing.p90, timing.best) << one.family;
      EXPECT_GT(timing.samples, 0) << one.family;
    }
  }
  EXPECT_GT(bench.sentinel(1), 0);
  if (this_machine().cores.size() >= 2) {
    EXPECT_GT(bench.sentinel(2), 0);
  }
}

TEST(CpuBench, Only_what_is_asked_for_is_measured) {
  CpuBench bench(this_machine());
  SuiteOptions options;
  options.only = {"gemm"};
  options.formats = {"w4a8"};
  for (const BenchCase& one : bench.cases(options)) {
    EXPECT_EQ(one.family, "gemm.w4a8");
  }
}

TEST(CpuSubjects, An_all_reduce_over_either_wire_takes_time) {
  const auto cores = this_machine().cores;
  CorePair pair;
  for (const PairWire wire : {PairWire::threads, PairWire::tcp}) {
    auto wires = make_wires(wire);
    const Timing timing = time_all_reduce(pair, cores.front(), cores.back(), wires,
                                          kernels::parse_wire_format("int8"), 4096, 0);
    EXPECT_GE(timing.samples, 3);
    EXPECT_GT(timing.best, 0);
  }
}

TEST(CpuSubjects, Weights_over_borrowed_bytes_have_the_layout_of_packed_ones) {
  Pool pool(1 << 24);
  for (const std::string& name : cpu_gemm_formats()) {
    const kernels::GemmFormat format = kernel_format(name);
    const std::vector<float> values(96 * 256, 0.5F);
    const auto packed = kernels::pack_from_fp32(values, 96, 256, format);
    const auto borrowed =
        kernels::arbitrary_weights(format, 96, 256, reinterpret_cast<std::uint8_t*>(pool.data()));
    EXPECT_EQ(borrowed.data.size(), packed.data.size()) << name;
    EXPECT_EQ(borrowed.scales.size() + borrowed.integer_scales.size(), packed.scales.size());
    EXPECT_EQ(borrowed.k_tiles, packed.k_tiles) << name;
    EXPECT_EQ(borrowed.tile_bytes, packed.tile_bytes) << name;
  }
}

TEST(CpuSubjects, Bytes_of_layer_operators_are_those_of_the_graph) {
  // 3 rows of 100 values: RMSNorm reads rows and gain and writes rows, two bytes a value.
  EXPECT_EQ(layer_bytes({"input_layernorm", 3, 100}), (300 + 100 + 300) * 2);
  EXPECT_EQ(layer_bytes({"silu_mul", 3, 100}), 3 * (200 + 100) * 2);
  // 4 query and 2 KV heads of 64: turned in place with a row of 64 table values and an index.
  EXPECT_EQ(layer_bytes({"rope", 3, 0, 4, 2, 64}), 3 * (2 * 6 * 64 * 2 + 64 * 2 + 8));
}

}  // namespace
}  // namespace foretoken::calibrate
