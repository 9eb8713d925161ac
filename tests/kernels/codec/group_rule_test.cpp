#include "kernels/codec/group_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/base/float_types.h"

namespace foretoken::kernels {
namespace {

TEST(GroupRule, Log8_scales_are_powers_of_the_eighth_root_of_two_rounded_up_to_12_bits) {
  for (int e = -127; e <= 127; ++e) {
    const double exact = std::exp2(e / 8.0);
    const double scale = log8_scale(e);
    EXPECT_GE(scale, exact) << e;
    EXPECT_LE(scale, exact * (1 + 0x1p-11)) << e;
    int exponent = 0;
    const double mantissa = std::ldexp(std::frexp(scale, &exponent), 12);
    EXPECT_EQ(mantissa, std::floor(mantissa)) << e;  // 12 significant bits: code * scale is exact
  }
}

TEST(GroupRule, Log8_takes_the_least_scale_that_reaches) {
  for (int e = -126; e <= 127; ++e) {
    const float scale = log8_scale(e);
    EXPECT_EQ(log8_exponent(scale), e);
    EXPECT_EQ(log8_exponent(std::nextafter(scale, 0.0F)), e);
    EXPECT_EQ(log8_exponent(std::nextafter(scale, 1e30F)), std::min(e + 1, 127));
  }
  EXPECT_EQ(log8_exponent(0.0F), -128);
  EXPECT_EQ(log8_exponent(std::nextafter(0x1p-16F, 0.0F)), -128);
  EXPECT_EQ(log8_exponent(1e30F), 127);
}

TEST(GroupRule, Zero_points_are_rounded_down_and_scales_up) {
  for (const float x : {1.0F, 1.001F, -1.001F, 3.14159F, -2.71828F, 1e-40F, -1e-40F, 0.0F}) {
    const float below = bits_float(bf16_at_or_below(x));
    EXPECT_LE(below, x);
    const float next = bits_float(bf16_at_or_below(x) + (x < 0 ? -0x10000U : 0x10000U));
    EXPECT_GT(next, x) << x;
  }
  EXPECT_EQ(bits_float(bf16_at_or_below(-3.4028234e38F)), -0x1.fep127F);
}

TEST(GroupRule, Fp16_scales_are_the_least_that_reach) {
  for (std::uint32_t half = 1; half < 0x7bff; ++half) {
    const float scale = to_float(Fp16{static_cast<std::uint16_t>(half)});
    ASSERT_EQ(fp16_to_float(half), scale);
    ASSERT_EQ(fp16_at_or_above(scale), half);
    ASSERT_EQ(fp16_at_or_above(std::nextafter(scale, 0.0F)), half);
    ASSERT_EQ(fp16_at_or_above(std::nextafter(scale, 1e30F)), half + 1);
  }
  EXPECT_EQ(fp16_at_or_above(0.0F), 0U);
  EXPECT_EQ(fp16_at_or_above(1e-30F), 1U);
  EXPECT_EQ(fp16_at_or_above(1e30F), 0x7bffU);
}

TEST(GroupRule, Spike_values_stay_finite) {
  EXPECT_EQ(to_float(Bf16{saturated_bf16(3.4028234e38F)}), 0x1.fep127F);
  EXPECT_EQ(to_float(Bf16{saturated_bf16(-3.4028234e38F)}), -0x1.fep127F);
  EXPECT_EQ(saturated_bf16(5600.0F), to_bf16(5600.0F).bits);
}

TEST(GroupRule, A_group_that_is_not_finite_poisons_itself) {
  for (const auto scale : {WireFormat::Scale::affine, WireFormat::Scale::symmetric,
                           WireFormat::Scale::log8, WireFormat::Scale::fp32}) {
    const GroupRule rule = group_rule(scale, 8, {-1.0F, 1.0F, false});
    EXPECT_TRUE(rule.poisoned);
    EXPECT_TRUE(std::isnan(group_scale(scale, 8, rule.metadata).scale));
  }
  EXPECT_TRUE(affine_rule({-3e38F, 3e38F, true}, 8).poisoned);  // the range overflows fp32
  EXPECT_FALSE(affine_rule({-1e38F, 1e38F, true}, 8).poisoned);
}

}  // namespace
}  // namespace foretoken::kernels
