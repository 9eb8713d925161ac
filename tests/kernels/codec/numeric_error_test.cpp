#include "kernels/codec/numeric_error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace foretoken::kernels {
namespace {

// Errors 3 and 4 on values 30 and 40: relative 5/50, 20 dB, at most 4.
TEST(NumericErrorTest, Relative_ratio_and_maximum_follow_their_definitions) {
  const std::vector<double> exact{30, 40};
  const std::vector<float> actual{33, 36};
  const NumericError e = numeric_error(exact, actual);
  EXPECT_DOUBLE_EQ(e.relative, 0.1);
  EXPECT_DOUBLE_EQ(e.snr_db, 20.0);
  EXPECT_EQ(e.maximum, 4.0);
  EXPECT_EQ(numeric_error(exact, std::vector<float>{30, 40}).snr_db,
            std::numeric_limits<double>::infinity());
}

TEST(NumericErrorTest, Samples_have_the_shape_they_promise) {
  constexpr std::size_t kCount = 1 << 18;
  const auto normal = sample_values(SampleKind::normal, kCount, 1);
  double squares = 0;
  for (const float x : normal) {
    squares += static_cast<double>(x) * x;
  }
  EXPECT_NEAR(squares / kCount, 1.0, 0.02);  // standard error sqrt(2 / 2^18) = 0.0028
  const auto tail = sample_values(SampleKind::heavy_tailed, kCount, 1);
  const auto beyond = [](const std::vector<float>& x) {
    return std::count_if(x.begin(), x.end(), [](float v) { return std::abs(v) > 5; });
  };
  EXPECT_LT(beyond(normal), 5);   // 5.7e-7 of a normal
  EXPECT_GT(beyond(tail), 3000);  // 1.5 % of t with 3 degrees of freedom: about 4,000
  const auto spikes = sample_values(SampleKind::spikes, kCount, 1);
  const auto large = [](float v) { return std::abs(v) >= 500 && std::abs(v) <= 5600; };
  EXPECT_EQ(std::count_if(spikes.begin(), spikes.end(), large), 4 * (kCount / 4096));
  EXPECT_EQ(sample_values(SampleKind::spikes, 100, 7), sample_values(SampleKind::spikes, 100, 7));
}

TEST(NumericErrorTest, Spike_reserving_pays_on_data_with_spikes) {
  const auto x = sample_values(SampleKind::spikes, 1 << 16, 3);
  const auto snr = [&](const char* format) {
    return codec_error(best_codec(), parse_wire_format(format), x).snr_db;
  };
  EXPECT_GT(snr("int4/g32/spike"), snr("int4/g32") + 10);
}

}  // namespace
}  // namespace foretoken::kernels
