#include "sim/cost/wire.h"

#include <gtest/gtest.h>

#include "sim/core/error.h"

namespace foretoken {
namespace {

Wire paced() {
  Wire wire;
  wire.latency = 50e-6;
  wire.bandwidth = 100e6;
  wire.bucket = 100e3;
  wire.copy_bandwidth = 1e9;
  return wire;
}

// 100 kB fit the bucket: copied at 1 GB/s, 100 us, beside two latencies. Of 1.1 MB, 1 MB passes at
// 100 MB/s: 10 ms, during which all of it is copied.
TEST(Wire, Lets_a_bucket_through_and_paces_the_rest) {
  EXPECT_DOUBLE_EQ(paced().seconds(100e3, 2), 200e-6);
  EXPECT_DOUBLE_EQ(paced().seconds(1.1e6, 2), 100e-6 + 10e-3);
  Wire unpaced = paced();
  unpaced.bandwidth = 0;
  EXPECT_DOUBLE_EQ(unpaced.seconds(1.1e6, 2), 100e-6 + 1.1e-3);
}

// Two-step among 4: a rank sends 3/4 of the vector twice. Two ranks gather half a vector each.
TEST(Wire, Counts_what_a_rank_sends) {
  const WireWork reduce = wire_work(CollectiveKind::all_reduce, 4000, 4);
  EXPECT_DOUBLE_EQ(reduce.bytes, 6000);
  EXPECT_EQ(reduce.steps, 2);
  EXPECT_DOUBLE_EQ(reduce.codec_passes, 3.25);
  const WireWork gather = wire_work(CollectiveKind::all_gather, 4000, 2);
  EXPECT_DOUBLE_EQ(gather.bytes, 2000);
  EXPECT_EQ(gather.steps, 1);
}

TEST(Wire, Is_read_from_a_profile_that_states_it) {
  Profile profile;
  EXPECT_FALSE(read_wire(profile));
  profile.parameters["wire.latency"] = {3e-5, Provenance::measured, ""};
  EXPECT_THROW(read_wire(profile), InputError);  // half a wire
  profile.parameters["wire.copy_bandwidth"] = {2e9, Provenance::measured, ""};
  const auto wire = read_wire(profile);
  ASSERT_TRUE(wire);
  EXPECT_DOUBLE_EQ(wire->seconds(2e6, 1), 3e-5 + 1e-3);
}

}  // namespace
}  // namespace foretoken
