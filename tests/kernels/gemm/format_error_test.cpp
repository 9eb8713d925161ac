#include "kernels/gemm/format_error.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

constexpr std::int64_t kM = 24, kN = 96, kK = 1024;

double snr(const char* format, SyntheticKind activations, bool search = false) {
  WorkerPool pool(1);
  return measure_format_error(parse_gemm_format(format),
                              synthetic_matrix(SyntheticKind::normal, kN, kK, 1),
                              synthetic_matrix(activations, kM, kK, 2), kM, kN, kK, search, pool)
      .snr_db;
}

TEST(FormatError, Follows_the_theory_of_uniform_rounding_on_normal_data) {
  // A grid to the largest of k normal values: step = max / limit, noise step^2 / 12. The expected
  // largest of 1,024 is about 3.24 sigma: per channel 4 bits 10 log10(12 x (7 / 3.24)^2) = 17.5 dB;
  // of 128, 2.6 sigma: 19.4 dB. 8 bits on both sides: 10 log10(12 x (127 / 3.24)^2) - 3 = 39.7 dB.
  // Maxima scatter: +-1 dB.
  EXPECT_NEAR(snr("w4a8", SyntheticKind::normal), 17.5, 1.0);
  EXPECT_NEAR(snr("w4a16_g128", SyntheticKind::normal), 19.4, 1.0);
  EXPECT_NEAR(snr("w8a8", SyntheticKind::normal), 39.7, 1.0);
}

TEST(FormatError, Outlier_channels_cost_int8_activations_far_more_than_fp8_ones) {
  // A column 20 times larger stretches the grid of each token; e4m3 keeps a relative step.
  const double int8_loss =
      snr("w8a8", SyntheticKind::normal) - snr("w8a8", SyntheticKind::outlier_channels);
  const double fp8_loss = snr("fp8_token_channel", SyntheticKind::normal) -
                          snr("fp8_token_channel", SyntheticKind::outlier_channels);
  EXPECT_GT(int8_loss, 2.0);
  EXPECT_LT(std::fabs(fp8_loss), 1.0);
}

TEST(FormatError, Integer_scales_cost_less_than_a_fifth_of_a_decibel) {
  for (const SyntheticKind kind :
       {SyntheticKind::normal, SyntheticKind::heavy_tailed, SyntheticKind::outlier_channels}) {
    EXPECT_NEAR(snr("w4a8_g128_integer", kind), snr("w4a8_g128_float", kind), 0.2);
  }
}

TEST(FormatError, Every_further_bit_gains_six_decibels_or_more) {
  // Limits are 2^(b-1) - 1: from 4 to 5 bits 20 log10(15 / 7) = 6.6 dB, from 5 to 6 6.3 dB.
  const double four = snr("w4a16_g128", SyntheticKind::normal);
  const double five = snr("w5a16_g128", SyntheticKind::normal);
  const double six = snr("w6a16_g128", SyntheticKind::normal);
  EXPECT_NEAR(five - four, 6.6, 0.4);
  EXPECT_NEAR(six - five, 6.3, 0.4);
}

TEST(FormatError, Clipping_search_helps_4_bit_weights) {
  EXPECT_GT(snr("w4a8", SyntheticKind::normal, true), snr("w4a8", SyntheticKind::normal) + 0.5);
}

}  // namespace
}  // namespace foretoken::kernels
