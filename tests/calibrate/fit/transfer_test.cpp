#include "calibrate/fit/transfer.h"

#include <gtest/gtest.h>

namespace foretoken::calibrate {
namespace {

constexpr double kPeak = 1e14;

Profile device(const std::string& name, double bandwidth) {
  Profile profile;
  profile.name = name;
  const auto set = [&](const char* key, double value) {
    profile.parameters[key] = {value, Provenance::derived, "test"};
  };
  set("device.memory", 8e10);
  set("device.memory_bandwidth", bandwidth);
  set("gemm.bf16.peak", kPeak);
  set("gemm.bf16.efficiency", 1);
  set("gemm.bf16.bandwidth_efficiency", 1);
  set("gemm.bf16.t0", 0);
  return profile;
}

// One token reads the weights and computes next to nothing; thousands compute and read little.
const Sample kFew{{1, 4096, 4096}, 40e-6}, kMany{{8192, 4096, 4096}, 3.5e-3};

Profile measured() {
  Profile profile;
  SampleTable& gemm = profile.samples["gemm.bf16"];
  gemm.provenance = Provenance::imported;
  gemm.source = "elsewhere";
  gemm.samples = {kFew, kMany};
  profile.samples["host.decode"].samples = {{{1}, 1e-3}};
  return profile;
}

double seconds(const Profile& profile, std::size_t sample) {
  return profile.samples.at("gemm.bf16").samples[sample].seconds;
}

TEST(Transfer, A_call_takes_as_much_longer_as_its_bytes_do) {
  const Profile moved = transferred(measured(), device("fast", 2e12), device("slow", 1e12));
  const double bytes = 2.0 * (4096.0 * 4096 + 4096 + 4096);
  EXPECT_NEAR(seconds(moved, 0), kFew.seconds + bytes / 1e12 - bytes / 2e12, 1e-12);
  EXPECT_NEAR(seconds(moved, 1), kMany.seconds, 1e-12);  // bound by arithmetic on both
}

TEST(Transfer, No_call_changes_by_more_than_in_proportion) {
  Profile fast_call = measured();
  fast_call.samples.at("gemm.bf16").samples[0].seconds = 10e-6;  // from a cache
  const Profile slower = transferred(fast_call, device("fast", 2e12), device("slow", 1e12));
  EXPECT_NEAR(seconds(slower, 0), 20e-6, 1e-12);
  const Profile faster = transferred(fast_call, device("slow", 1e12), device("fast", 2e12));
  EXPECT_NEAR(seconds(faster, 0), 5e-6, 1e-12);
}

TEST(Transfer, Only_what_a_datasheet_prices_goes_along_and_says_where_it_is_from) {
  const Profile moved = transferred(measured(), device("fast", 2e12), device("slow", 1e12));
  EXPECT_EQ(moved.samples.size(), 1U);
  const SampleTable& gemm = moved.samples.at("gemm.bf16");
  EXPECT_EQ(gemm.provenance, Provenance::derived);
  EXPECT_EQ(gemm.source, "elsewhere + slow - fast, datasheets");
  const Profile same = transferred(measured(), device("a", 1e12), device("a", 1e12));
  EXPECT_EQ(seconds(same, 0), kFew.seconds);
}

}  // namespace
}  // namespace foretoken::calibrate
