#include "kernels/gemm/quantize.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/gemm/reference.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

double snr_db(const std::vector<double>& exact, const std::vector<float>& got) {
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    signal += exact[i] * exact[i];
    noise += (exact[i] - got[i]) * (exact[i] - got[i]);
  }
  return 10 * std::log10(signal / noise);
}

TEST(QuantizeWeights, Errors_stay_within_half_a_step_without_clipping) {
  const auto w = synthetic_matrix(SyntheticKind::heavy_tailed, 9, 333, 1);
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {0, 32, 128}) {
      const QuantizedWeights q = quantize_weights(w, 9, 333, {bits, group, false});
      const std::vector<float> back = dequantize(q);
      for (std::size_t i = 0; i < w.size(); ++i) {
        const float scale = q.scales[i / 333 * q.groups() + i % 333 / q.group_size()];
        EXPECT_LE(std::fabs(back[i] - w[i]), scale * 0.5001F);
        EXPECT_LE(std::abs(q.values[i]), weight_limit(bits));
      }
    }
  }
}

TEST(QuantizeWeights, Clipping_search_never_raises_the_squared_error) {
  const auto w = synthetic_matrix(SyntheticKind::heavy_tailed, 32, 512, 2);
  const auto error = [&](const QuantizedWeights& q) {
    const std::vector<float> back = dequantize(q);
    double sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      sum += (back[i] - w[i]) * (back[i] - w[i]);
    }
    return sum;
  };
  const double plain = error(quantize_weights(w, 32, 512, {4, 0, false}));
  const double searched = error(quantize_weights(w, 32, 512, {4, 0, true}));
  // t(4) tails reach 20 sigma: a grid to the largest value wastes most of its levels.
  EXPECT_LT(searched, 0.8 * plain);
}

TEST(QuantizeWeights, All_zero_rows_stay_zero) {
  const std::vector<float> w(64, 0.0F);
  const QuantizedWeights q = quantize_weights(w, 1, 64, {4, 32, true});
  for (const float value : dequantize(q)) {
    EXPECT_EQ(value, 0.0F);
  }
}

TEST(QuantizeWeights, Bf16_and_fp32_weights_of_the_same_value_agree) {
  std::vector<Bf16> narrow;
  std::vector<float> wide;
  for (const float value : synthetic_matrix(SyntheticKind::normal, 3, 65, 3)) {
    narrow.push_back(to_bf16(value));
    wide.push_back(to_float(narrow.back()));
  }
  const QuantizedWeights a = quantize_weights(narrow, 3, 65, {4, 64, false});
  const QuantizedWeights b = quantize_weights(wide, 3, 65, {4, 64, false});
  EXPECT_EQ(a.values, b.values);
  EXPECT_EQ(a.scales, b.scales);
}

TEST(IntegerScales, Alpha_is_the_largest_power_of_two_whose_bound_is_proved) {
  // One channel, one group of 128 weights of magnitude 7: sum |w| = 896, times 127 = 113,792 (the
  // bound of the papers). S may reach floor((2^31 - 1) / 113,792) = 18,872; the scale is 1, so
  // alpha = 2^14 = 16,384.
  const std::vector<float> w(128, 7.0F);
  const QuantizedWeights q = quantize_weights(w, 1, 128, {4, 128, false});
  ASSERT_EQ(q.scales[0], 1.0F);
  const IntegerScales s = choose_integer_scales(q);
  EXPECT_EQ(s.alpha_log2, 14);
  EXPECT_EQ(s.bound, std::int64_t{113792} * 16384);
  EXPECT_EQ(s.k_splits, 1);
}

TEST(IntegerScales, Splits_k_when_one_sum_cannot_hold_scales_of_enough_precision) {
  // 4,096 groups of full-range weights with scale 1: unsplit, S <= 2^31 / (4096 x 113,792) = 4.6,
  // so alpha = 4; scales near 1 then round by up to 12 %. Random scales in [0.5, 1.5) make that
  // error visible.
  const std::int64_t k = 4096 * 128;
  SyntheticRandom random(5);
  std::vector<float> w(static_cast<std::size_t>(k));
  for (std::int64_t g = 0; g < k / 128; ++g) {
    const auto scale = static_cast<float>(0.5 + random.uniform());
    for (std::int64_t i = 0; i < 128; ++i) {
      w[static_cast<std::size_t>(g * 128 + i)] = (random.next() % 2 == 0 ? 7.0F : -7.0F) * scale;
    }
  }
  const IntegerScales s = choose_integer_scales(quantize_weights(w, 1, k, {4, 128, false}));
  EXPECT_GT(s.k_splits, 1);
  EXPECT_LE(s.rms_error, 0.01);
  EXPECT_LT(s.bound, std::int64_t{1} << 31);
}

TEST(IntegerScales, Output_stays_within_a_fifth_of_a_decibel_of_float_scales) {
  // The weights of a trained layer: sigma 0.02. With the paper's alpha of 1,024 a scale would be 8
  // +- 6 %.
  for (const SyntheticKind kind :
       {SyntheticKind::normal, SyntheticKind::heavy_tailed, SyntheticKind::outlier_channels}) {
    const std::int64_t m = 16, n = 48, k = 2048;
    std::vector<float> w = synthetic_matrix(SyntheticKind::normal, n, k, 7);
    for (float& value : w) {
      value *= 0.02F;
    }
    const auto a = synthetic_matrix(kind, m, k, 8);
    const QuantizedWeights q = quantize_weights(w, n, k, {4, 128, false});
    const QuantizedActivations qa = quantize_activations(a, m, k);
    const IntegerScales s = choose_integer_scales(q);
    const auto exact = reference_fp64_gemm(a, w, m, n, k);
    const double with_float = snr_db(exact, reference_group_float(qa, q));
    const double with_integer = snr_db(exact, reference_group_integer(qa, q, s));
    EXPECT_GT(with_float, 10.0) << to_string(kind);
    EXPECT_NEAR(with_integer, with_float, 0.2) << to_string(kind);
  }
}

TEST(QuantizeFp8, Values_stay_within_the_relative_step_of_e4m3) {
  const std::int64_t rows = 130, k = 300;
  const auto x = synthetic_matrix(SyntheticKind::normal, rows, k, 9);
  for (const ScaleKind scale :
       {ScaleKind::per_tensor, ScaleKind::per_channel, ScaleKind::block_128}) {
    const Fp8Matrix q = quantize_fp8(x, rows, k, scale, 128);
    const std::vector<float> back = dequantize(q);
    for (std::int64_t i = 0; i < rows * k; ++i) {
      // Three mantissa bits: half a step is 2^-4 of the value; 2^-10 scales below the normal range.
      const float value = x[static_cast<std::size_t>(i)];
      const float step = std::fmax(std::fabs(value) / 16, q.scale_at(i / k, i % k) / 1024);
      EXPECT_LE(std::fabs(back[static_cast<std::size_t>(i)] - value), step * 1.001F);
    }
  }
  EXPECT_EQ(quantize_fp8(x, rows, k, ScaleKind::block_128, 128).scales.size(), 6U);
}

}  // namespace
}  // namespace foretoken::kernels
