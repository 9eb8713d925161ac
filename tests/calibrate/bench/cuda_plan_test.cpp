#include "calibrate/bench/cuda_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include "calibrate/bench/bench_case.h"
#include "calibrate/bench/cpu_subjects.h"
#include "sim/config/profile_reader.h"
#include "sim/config/sample_file.h"
#include "sim/cost/cost_model.h"
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

// w4a16 on all 26 shapes x 12 token counts, the widths beside it on 10 x 12.
TEST(CudaPlan, Weight_only_GEMMs_of_all_widths_are_timed) {
  std::map<std::string, int> cases;
  for (const PlannedCase& one : plan_cuda({}, kH100)) {
    ++cases[one.family];
  }
  EXPECT_EQ(cases["gemm.w4a16/g128"], 312);
  for (const char* width : {"w2", "w3", "w5", "w6", "w8"}) {
    EXPECT_EQ(cases[std::string("gemm.") + width + "a16/g128"], 120) << width;
  }
}

TEST(CudaPlan, Every_format_has_a_kernel_and_profiles_hold_its_samples) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("cuda_plan_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  Profile measured = config::read_profile("calibrate/profiles/h100-sxm.yaml");
  measured.samples.clear();
  double seconds = 1e-3;
  for (const std::string& name : cuda_gemm_formats()) {
    EXPECT_NO_THROW(kernel_format(name)) << name;
    if (const auto formats = parse_gemm_format_name(name)) {
      EXPECT_EQ(name, gemm_format_name(formats->weights, formats->activations));
    } else {
      ADD_FAILURE() << name << " is no name of a format";
    }
    measured.samples["gemm." + name].samples.push_back({{64, 4096, 4096}, seconds});
    measured.parameters["gemm." + name + ".t0"] = {1e-6, Provenance::measured, "a test"};
    seconds *= 2;
  }
  const std::string path = (folder / "gpu.yaml").string();
  config::save_profile(measured, path);
  const Profile read = config::read_profile(path);
  seconds = 1e-3;
  for (const std::string& name : cuda_gemm_formats()) {
    EXPECT_EQ(read.samples.at("gemm." + name).samples.at(0).seconds, seconds) << name;
    EXPECT_EQ(read.at("gemm." + name + ".t0").value, 1e-6) << name;
    seconds *= 2;
  }
  EXPECT_NO_THROW(CostModel{read});
  std::filesystem::remove_all(folder);
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
