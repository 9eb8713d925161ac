#include "kernels/base/float_types.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace foretoken::kernels {
namespace {

// The finite non-negative values of a format in increasing order, from its definition in fp64.
std::vector<double> values_of(int mantissa_bits, int bias, int codes) {
  std::vector<double> values;
  for (int code = 0; code < codes; ++code) {
    const int exponent = code >> mantissa_bits;
    const int mantissa = code & ((1 << mantissa_bits) - 1);
    const double fraction = std::ldexp(mantissa, -mantissa_bits);
    values.push_back(exponent == 0 ? std::ldexp(fraction, 1 - bias)
                                   : std::ldexp(1.0 + fraction, exponent - bias));
  }
  return values;
}

// Every value, and around every midpoint of two neighbours: just below, exactly on, just above.
template <typename Encode>
void expect_nearest_even(const std::vector<double>& values, Encode encode) {
  for (std::size_t i = 0; i + 1 < values.size(); ++i) {
    const auto low = static_cast<float>(values[i]);
    const auto middle = static_cast<float>((values[i] + values[i + 1]) / 2);
    ASSERT_EQ(encode(low), i);
    ASSERT_EQ(encode(std::nextafter(middle, 0.0F)), i) << middle;
    ASSERT_EQ(encode(middle), i + (i & 1U)) << middle;  // ties go to the even code
    ASSERT_EQ(encode(std::nextafter(middle, std::numeric_limits<float>::infinity())), i + 1)
        << middle;
  }
}

TEST(FloatTypes, Fp16_rounds_every_midpoint_to_even) {
  expect_nearest_even(values_of(10, 15, 0x7c00), [](float x) { return to_fp16(x).bits; });
}

TEST(FloatTypes, Fp8_rounds_every_midpoint_to_even) {
  expect_nearest_even(values_of(3, 7, 0x7f), [](float x) { return to_fp8_e4m3(x).bits; });
}

TEST(FloatTypes, Bf16_rounds_midpoints_to_even) {
  std::vector<double> values = values_of(7, 127, 0x7f80);
  values.erase(values.begin(), values.begin() + 0x80);  // midpoints of denormals: below
  expect_nearest_even(values, [](float x) { return to_bf16(x).bits - 0x80U; });
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x00008000U)).bits, 0);  // half of the least: even is 0
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x00008001U)).bits, 1);
}

TEST(FloatTypes, Every_fp16_bf16_and_fp8_pattern_survives_a_round_trip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto b = static_cast<std::uint16_t>(bits);
    if (!std::isnan(to_float(Fp16{b}))) {
      ASSERT_EQ(to_fp16(to_float(Fp16{b})).bits, b);
    }
    if (!std::isnan(to_float(Bf16{b}))) {
      ASSERT_EQ(to_bf16(to_float(Bf16{b})).bits, b);
    }
  }
  for (int bits = 0; bits < 0x100; ++bits) {
    const Fp8E4m3 value{static_cast<std::uint8_t>(bits)};
    ASSERT_EQ(to_fp8_e4m3(to_float(value)).bits, bits);  // NaN included: 0x7f and 0xff
  }
}

TEST(FloatTypes, Infinity_and_nan_are_carried_and_fp8_saturates) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(to_float(to_bf16(infinity)), infinity);
  EXPECT_EQ(to_float(to_fp16(-infinity)), -infinity);
  EXPECT_TRUE(std::isnan(to_float(to_bf16(nan))));
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(to_float(to_fp16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_EQ(to_float(to_fp8_e4m3(1e30F)), 448.0F);
  EXPECT_TRUE(std::isnan(to_float(to_fp8_e4m3(-infinity))));
  EXPECT_EQ(to_fp16(65519.9F).bits, 0x7bff);
  EXPECT_EQ(to_fp16(65520.0F).bits, 0x7c00);
  EXPECT_TRUE(std::signbit(to_float(to_fp16(-0.0F))));
}

}  // namespace
}  // namespace foretoken::kernels
