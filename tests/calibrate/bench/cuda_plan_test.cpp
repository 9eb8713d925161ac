#include "calibrate/bench/cuda_plan.h"

#include <gtest/gtest.h>

#include <set>

#include "calibrate/bench/bench_case.h"
#include "sim/config/sample_file.h"
#include "sim/cost/gemm_format.h"

namespace foretoken::calibrate {
namespace {

constexpr std::size_t kH100 = std::size_t{80} << 30;

TEST(CudaPlan, Every_case_has_a_table_in_profiles_and_none_stands_twice) {
  for (const bool quick : {true, false}) {
    SuiteOptions options;
    options.quick = quick;
    std::set<std::string> names, families;
    for (const PlannedCase& one : plan_cuda(options, kH100)) {
      const config::SampleFamily* family = config::family_of_key(one.family);
      ASSERT_NE(family, nullptr) << one.family;
      EXPECT_EQ(family->shape.size(), one.shape.size()) << one.family;
      EXPECT_TRUE(names.insert(case_name(one.family, one.shape)).second) << one.family;
      families.insert(one.family);
    }
    EXPECT_GT(names.size(), quick ? 500u : 3000u);
    EXPECT_TRUE(families.contains("gemm.bf16"));
    EXPECT_TRUE(families.contains("codec.reduce.int8/g128"));
    EXPECT_TRUE(families.contains("launch.graph"));
    for (const std::string& name : families) {  // no figure of one GPU stands for a link
      EXPECT_FALSE(name.starts_with("all_reduce")) << name;
    }
  }
}

TEST(CudaPlan, Every_format_is_known_to_the_simulator_and_can_be_asked_for_alone) {
  for (const std::string& name : cuda_gemm_formats()) {
    EXPECT_TRUE(parse_gemm_format_name(name).has_value()) << name;
    SuiteOptions options;
    options.only = {"gemm"};
    options.formats = {name};
    const auto cases = plan_cuda(options, kH100);
    EXPECT_GT(cases.size(), 100u) << name;
    for (const PlannedCase& one : cases) {
      EXPECT_EQ(one.family, "gemm." + name);
    }
  }
}

TEST(CudaPlan, What_does_not_fit_a_small_device_is_left_out) {
  const std::size_t large = plan_cuda({}, kH100).size();
  const auto small = plan_cuda({}, std::size_t{4} << 30);
  EXPECT_LT(small.size(), large);
  for (const PlannedCase& one : small) {
    if (one.family == "gemm.bf16") {
      EXPECT_LE(one.shape[1] * one.shape[2] * 2, std::int64_t{2} << 30);
    }
  }
}

}  // namespace
}  // namespace foretoken::calibrate
