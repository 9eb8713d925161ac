#include "sim/cost/codec_cost.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

Profile device() {
  Profile profile;
  profile.parameters["device.memory_bandwidth"] = {1e12, Provenance::derived, ""};
  profile.parameters["elementwise.bandwidth_efficiency"] = {0.8, Provenance::derived, ""};
  profile.parameters["elementwise.t0"] = {3e-6, Provenance::derived, ""};
  return profile;
}

const Format kInt4 = parse_format("int4/g32", FormatRole::wire);
const Format kInt8 = parse_format("int8", FormatRole::wire);

TEST(CodecCost, A_measured_format_costs_its_fixed_time_and_its_bytes) {
  Profile profile = device();
  profile.parameters["codec.int4/g32.t0"] = {1e-6, Provenance::measured, ""};
  profile.parameters["codec.int4/g32.bandwidth"] = {2e11, Provenance::measured, ""};
  const CodecCost codec(profile);
  // 1e6 values of 2 bytes at 200 GB/s: 10 us.
  EXPECT_DOUBLE_EQ(codec.seconds(1'000'000, kInt4), 11e-6);
  EXPECT_EQ(codec.provenance(kInt4), Provenance::measured);
  EXPECT_EQ(codec.provenance(kInt8), Provenance::assumed);
}

TEST(CodecCost, The_head_of_a_format_stands_in_for_its_variants) {
  Profile profile = device();
  profile.parameters["codec.int8.bandwidth"] = {1e11, Provenance::imported, ""};
  const CodecCost codec(profile);
  EXPECT_DOUBLE_EQ(codec.seconds(500'000, parse_format("int8/g32/spike", FormatRole::wire)), 1e-5);
}

TEST(CodecCost, An_unknown_format_runs_like_a_kernel_over_memory) {
  const CodecCost codec(device());
  // int4/g32 affine: w = 0.625; 2.625 bytes a value at 0.8 TB/s.
  EXPECT_NEAR(codec.seconds(1'000'000, kInt4), 3e-6 + 2.625e6 / 0.8e12, 1e-15);
}

}  // namespace
}  // namespace foretoken
