#include "kernels/layer/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/base/error.h"
#include "kernels/gemm/quantize.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

std::vector<Bf16> random_bf16(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
  std::vector<Bf16> out;
  for (const float x : synthetic_matrix(SyntheticKind::outlier_channels, rows, width, seed)) {
    out.push_back(to_bf16(x));
  }
  return out;
}

std::vector<float> widen(const std::vector<Bf16>& x) {
  std::vector<float> out;
  for (const Bf16 value : x) {
    out.push_back(to_float(value));
  }
  return out;
}

// bf16 has 8 significant bits: one rounding is within 2^-8 of the value.
void expect_rounded(Bf16 got, double want) {
  EXPECT_NEAR(to_float(got), want, std::fabs(want) * 0x1p-8 + 1e-30);
}

TEST(RmsNorm, Follows_its_formula) {
  WorkerPool pool(2);
  const std::int64_t rows = 5, width = 333;
  const auto x = random_bf16(rows, width, 1), w = random_bf16(1, width, 2);
  std::vector<Bf16> out(x.size());
  rms_norm(x, w, 1e-5F, out, pool);
  for (std::int64_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (std::int64_t i = 0; i < width; ++i) {
      const double value = to_float(x[static_cast<std::size_t>(row * width + i)]);
      sum += value * value;
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const auto at = static_cast<std::size_t>(row * width + i);
      expect_rounded(out[at], to_float(x[at]) / std::sqrt(sum / width + 1e-5) *
                                  to_float(w[static_cast<std::size_t>(i)]));
    }
  }
}

TEST(SiluMultiply, Follows_its_formula) {
  WorkerPool pool(2);
  const std::int64_t rows = 3, width = 77;
  const auto x = random_bf16(rows, 2 * width, 3);
  std::vector<Bf16> out(static_cast<std::size_t>(rows * width));
  silu_multiply(x, width, out, pool);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < width; ++i) {
      const double gate = to_float(x[static_cast<std::size_t>(2 * row * width + i)]);
      const double up = to_float(x[static_cast<std::size_t>((2 * row + 1) * width + i)]);
      expect_rounded(out[static_cast<std::size_t>(row * width + i)],
                     gate / (1 + std::exp(-gate)) * up);
    }
  }
}

TEST(AddResidual, Rounds_the_sum_once) {
  WorkerPool pool(2);
  auto x = random_bf16(1, 100, 4);
  const auto before = x, y = random_bf16(1, 100, 5);
  add_residual(x, y, pool);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(x[i].bits, to_bf16(to_float(before[i]) + to_float(y[i])).bits);
  }
}

TEST(Embed, Copies_rows_and_refuses_ids_outside_the_table) {
  WorkerPool pool(1);
  const auto table = random_bf16(10, 7, 6);
  const std::vector<std::int32_t> ids{9, 0, 3};
  std::vector<Bf16> out(21);
  embed(table, 7, ids, out, pool);
  for (std::size_t i = 0; i < 21; ++i) {
    EXPECT_EQ(out[i].bits, table[static_cast<std::size_t>(ids[i / 7]) * 7 + i % 7].bits);
  }
  const std::vector<std::int32_t> bad{10};
  std::vector<Bf16> row(7);
  EXPECT_THROW(embed(table, 7, bad, row, pool), KernelBug);
}

TEST(Argmax, Finds_each_rows_largest_logit) {
  WorkerPool pool(2);
  std::vector<float> logits(3 * 1000, -1.0F);
  logits[999] = 5;
  logits[1000] = 2;
  logits[2500] = 0;
  EXPECT_EQ(argmax_rows(logits, 1000, pool), (std::vector<std::int32_t>{999, 0, 500}));
}

TEST(Rotary, Turns_pairs_by_position_times_frequency) {
  // head_dim 4, base 100: frequencies 1 and 100^(-1/2) = 0.1. At position 3 the pairs (x0, x2) and
  // (x1, x3) turn by 3 and 0.3.
  WorkerPool pool(1);
  RotaryConfig config;
  config.head_dim = 4;
  config.base = 100;
  const RotaryTable table(config, 4);
  std::vector<Bf16> x{to_bf16(1), to_bf16(1), to_bf16(0), to_bf16(0)};
  const std::vector<std::int64_t> positions{3};
  table.apply(x.data(), 4, 1, positions, pool);
  expect_rounded(x[0], std::cos(3.0));
  expect_rounded(x[1], std::cos(0.3));
  expect_rounded(x[2], std::sin(3.0));
  expect_rounded(x[3], std::sin(0.3));
}

TEST(Rotary, Llama3_scaling_slows_long_waves_and_keeps_short_ones) {
  // Llama 3.1: factor 8, 8,192 positions. Dimension 0 (frequency 1, wavelength 6.3 < 8192 / 4) is
  // kept; the last (frequency 500000^(-126/128) = 2.45e-6, wavelength 2.6e6 > 8192) is divided
  // by 8.
  WorkerPool pool(1);
  RotaryConfig config;
  config.llama3 = true;
  const std::int64_t position = 100000;
  const RotaryTable table(config, position + 1);
  std::vector<Bf16> x(128);
  x[0] = x[63] = to_bf16(1);
  const std::vector<std::int64_t> positions{position};
  table.apply(x.data(), 128, 1, positions, pool);
  const double slow = std::pow(500000.0, -126.0 / 128) / 8 * static_cast<double>(position);
  expect_rounded(x[0], std::cos(static_cast<double>(position)));
  expect_rounded(x[63], std::cos(slow));
  expect_rounded(x[127], std::sin(slow));
}

TEST(QuantizeRows, Equals_the_scalar_quantiser_to_the_bit) {
  WorkerPool pool(2);
  const std::int64_t rows = 7, width = 300;
  const auto x = random_bf16(rows, width, 7);
  Int8Rows rows8;
  quantize_rows(x, width, 0, rows8, pool);
  const QuantizedActivations want = quantize_activations(widen(x), rows, width);
  EXPECT_EQ(rows8.values, want.values);
  EXPECT_EQ(rows8.scales, want.scales);
}

TEST(QuantizeRows, Groups_have_their_own_scales) {
  WorkerPool pool(1);
  const std::int64_t rows = 2, width = 300;
  const auto x = random_bf16(rows, width, 8);
  Int8Rows grouped;
  quantize_rows(x, width, 128, grouped, pool);
  ASSERT_EQ(grouped.scales.size(), 6U);
  for (std::int64_t i = 0; i < rows * width; ++i) {
    const float scale = grouped.scales[static_cast<std::size_t>(i / width * 3 + i % width / 128)];
    EXPECT_NEAR(grouped.values[static_cast<std::size_t>(i)] * scale,
                to_float(x[static_cast<std::size_t>(i)]), scale * 0.501F);
  }
}

TEST(QuantizeRowsFp8, Equals_the_scalar_quantiser_to_the_bit) {
  WorkerPool pool(2);
  const std::int64_t rows = 5, width = 260;
  const auto x = random_bf16(rows, width, 9);
  for (const ScaleKind kind :
       {ScaleKind::per_tensor, ScaleKind::per_channel, ScaleKind::block_128}) {
    Fp8Rows got;
    quantize_rows_fp8(x, width, kind, got, pool);
    const Fp8Matrix want = quantize_fp8(widen(x), rows, width, kind, 1);
    EXPECT_EQ(got.values, want.values);
    EXPECT_EQ(got.scales, want.scales);
  }
}

}  // namespace
}  // namespace foretoken::kernels
