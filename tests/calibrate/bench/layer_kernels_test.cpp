#include "calibrate/bench/layer_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace foretoken::calibrate {
namespace {

TEST(LayerKernels, Bf16_rounds_to_nearest_even) {
  EXPECT_EQ(to_float(to_bf16(1.0F)), 1.0F);
  // 1 + 2^-8 lies half way between 1 and 1 + 2^-7: to the even 1. 1 + 3 x 2^-8 goes up to 1 + 2^-6.
  EXPECT_EQ(to_float(to_bf16(1.0F + 0x1p-8F)), 1.0F);
  EXPECT_EQ(to_float(to_bf16(1.0F + 3 * 0x1p-8F)), 1.0F + 0x1p-6F);
}

TEST(LayerKernels, Rms_norm_divides_by_the_root_mean_square) {
  // 37 is no multiple of the vector width. All values 3: rms 3, so out = gain.
  std::vector<Bf16> x(2 * 37, to_bf16(3.0F)), gain(37), out(2 * 37);
  for (int i = 0; i < 37; ++i) {
    gain[i] = to_bf16(static_cast<float>(i));
  }
  rms_norm(x.data(), gain.data(), out.data(), 2, 37);
  for (int i = 0; i < 74; ++i) {
    EXPECT_NEAR(to_float(out[i]), i % 37, 0.01 * (i % 37) + 1e-3);
  }
}

TEST(LayerKernels, Silu_mul_follows_its_definition_over_the_whole_range) {
  std::vector<Bf16> in, out(200);
  for (int i = 0; i < 200; ++i) {
    in.push_back(to_bf16(static_cast<float>(i - 100) / 8));
  }
  for (int i = 0; i < 200; ++i) {
    in.push_back(to_bf16(2.0F));
  }
  silu_mul(in.data(), out.data(), 1, 200);
  for (int i = 0; i < 200; ++i) {
    const double gate = to_float(in[i]);
    const double expected = gate / (1 + std::exp(-gate)) * 2;
    EXPECT_NEAR(to_float(out[i]), expected, std::abs(expected) / 200 + 1e-6) << gate;
  }
}

TEST(LayerKernels, Softmax_weights_what_is_seen_and_masks_the_rest) {
  std::vector<float> scores(40, 0.0F);
  scores[3] = std::log(4.0F) * 2;  // with scale 1/2: e^(log 4) = 4 times the others
  scores[39] = 1000;               // not seen
  std::vector<Bf16> out(40);
  softmax_row(scores.data(), 0.5F, 37, 40, out.data());
  // 36 of weight 1 and one of 4: 1/40 and 4/40.
  for (int i = 0; i < 40; ++i) {
    const double expected = i >= 37 ? 0 : i == 3 ? 0.1 : 0.025;
    EXPECT_NEAR(to_float(out[i]), expected, expected / 100);
  }
}

TEST(LayerKernels, Read_all_reads_every_word) {
  std::vector<std::uint64_t> words(1003);
  std::iota(words.begin(), words.end(), 1);
  EXPECT_EQ(read_all(words.data(), words.size()), 1003u * 1004u / 2);
}

}  // namespace
}  // namespace foretoken::calibrate
