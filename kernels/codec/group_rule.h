// The arithmetic of one group: from its range to the bytes of its scale, and back. Every
// implementation (reference, AVX2, AVX-512, CUDA) runs exactly these fp32 operations, which is why
// they agree bit for bit; so no operation may be contracted or reordered.
//
// A value x becomes   code = rne(clamp((x - subtract) * inverse, code_min, code_max)) + bias
// and comes back as   code * scale + offset,
// where code * scale is exact in fp32 (8 + 12 significant bits at most), so that a fused
// multiply-add and a multiplication followed by an addition give the same bits.
//
// Scales are rounded up and zero points down, so that nothing clips: the error of a value is at
// most half a step.
#pragma once

#include <cstdint>

#include "kernels/base/force_inline.h"
#include "kernels/codec/wire_format.h"

namespace foretoken::kernels {

FT_INLINE std::uint32_t float_bits(float value) { return __builtin_bit_cast(std::uint32_t, value); }

FT_INLINE float bits_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

inline constexpr std::uint32_t kQuietNan = 0x7fc00000U;
inline constexpr std::uint32_t kFp16Nan = 0x7e00U;
inline constexpr std::uint16_t kBf16Nan = 0x7fc0U;
inline constexpr std::uint32_t kLog8Constant = 0x0080U;  // exponent -128, zero code 0
inline constexpr std::uint32_t kLog8Nan = 0x0180U;       // exponent -128, zero code 1

// How a group is quantised, and the bytes of its scale in the low end of `metadata`.
struct GroupRule {
  float subtract = 0;
  float inverse = 0;
  float code_min = 0;
  float code_max = 0;
  std::int32_t bias = 0;
  std::uint32_t metadata = 0;
  bool poisoned = false;  // every value of the group arrives as NaN, its spikes too
};

// How a group is read back.
struct GroupScale {
  float scale = 0;
  float offset = 0;
};

// The extremes of a group: of all its values, or of all but the two spikes. `finite` is false when
// any value of the group, spikes included, is NaN or infinite.
struct GroupRange {
  float low = 0;
  float high = 0;
  bool finite = true;
};

FT_INLINE bool is_finite(float value) { return (float_bits(value) & 0x7fffffffU) < 0x7f800000U; }

// Nearest bf16, but the largest finite one instead of infinity.
FT_INLINE std::uint16_t saturated_bf16(float value) {
  const std::uint32_t u = float_bits(value);
  const std::uint32_t rounded = u + 0x7fffU + ((u >> 16) & 1U);
  const bool overflow = (rounded & 0x7fffffffU) >= 0x7f800000U;
  return static_cast<std::uint16_t>((overflow ? (u & 0x80000000U) | 0x7f7f0000U : rounded) >> 16);
}

// The largest bf16 at or below `value`, kept finite.
FT_INLINE std::uint32_t bf16_at_or_below(float value) {
  const std::uint32_t u = float_bits(value);
  if ((u & 0x80000000U) == 0) {
    return u & 0xffff0000U;
  }
  const std::uint32_t away = (u + 0xffffU) & 0xffff0000U;
  return away >= 0xff800000U ? 0xff7f0000U : away;
}

// The least fp16 at or above `value` >= 0, kept finite.
FT_INLINE std::uint32_t fp16_at_or_above(float value) {
  if (value >= 65504.0F) {
    return 0x7bffU;
  }
  if (value < 0x1p-14F) {  // denormal: multiples of 2^-24
    const float scaled = value * 0x1p24F;
    const auto whole = static_cast<std::uint32_t>(scaled);
    return whole + (static_cast<float>(whole) < scaled ? 1U : 0U);
  }
  return (float_bits(value) - 0x38000000U + 0x1fffU) >> 13;
}

FT_INLINE float fp16_to_float(std::uint32_t half) {  // non-negative and not infinite
  if (half >= 0x7c00U) {
    return bits_float(kQuietNan);
  }
  return bits_float(half << 13) * 0x1p112F;
}

// log8 scales are 2^(e/8). The mantissas of 2^(k/8), rounded up to 12 significant bits.
// Four to a word, so that a GPU needs no table in memory.
FT_INLINE std::uint32_t log8_mantissa(std::uint32_t k) {
  constexpr std::uint64_t kFirst = 0 | (186ULL << 16) | (388ULL << 32) | (608ULL << 48);
  constexpr std::uint64_t kLast = 849ULL | (1111ULL << 16) | (1397ULL << 32) | (1709ULL << 48);
  const std::uint64_t word = k < 4 ? kFirst : kLast;
  return static_cast<std::uint32_t>((word >> (16 * (k & 3U))) & 0xffffU) << 12;
}

FT_INLINE float log8_scale(std::int32_t e) {  // e in -127..127
  const auto exponent = static_cast<std::uint32_t>(127 + (e >> 3));
  return bits_float((exponent << 23) | log8_mantissa(static_cast<std::uint32_t>(e) & 7U));
}

// The least e with log8_scale(e) >= s, at most 127; -128 stands for "too small to matter".
FT_INLINE std::int32_t log8_exponent(float s) {
  if (s < 0x1p-16F) {
    return -128;
  }
  const std::uint32_t u = float_bits(s);
  const std::uint32_t mantissa = u & 0x7fffffU;
  std::int32_t e = 8 * (static_cast<std::int32_t>(u >> 23) - 127);
  for (std::uint32_t k = 0; k < 8; ++k) {
    e += mantissa > log8_mantissa(k) ? 1 : 0;
  }
  return e > 127 ? 127 : e;
}

FT_INLINE float least(float a, float b) { return a < b ? a : b; }
FT_INLINE float greatest(float a, float b) { return a > b ? a : b; }

FT_INLINE GroupRule affine_rule(GroupRange range, int bits) {
  const auto levels = static_cast<float>((1 << bits) - 1);
  const std::uint32_t zero_bits = bf16_at_or_below(range.low + 0.0F);  // + 0 turns -0 into 0
  const float zero = bits_float(zero_bits);
  const float span = range.high - zero;
  if (!range.finite || !is_finite(span)) {
    return {0, 0, 0, 0, 0, (static_cast<std::uint32_t>(kBf16Nan) << 16) | kBf16Nan, true};
  }
  std::uint32_t scale_bits = (float_bits(span * (1.0F / levels)) + 0xffffU) & 0xffff0000U;
  float inverse = 0;
  if (scale_bits < 0x00800000U || scale_bits >= 0x80000000U) {  // denormal, zero or negative
    scale_bits = 0;
  } else {
    inverse = 1.0F / bits_float(scale_bits);
  }
  return {zero, inverse, 0, levels, 0, (scale_bits >> 16) | zero_bits, false};
}

FT_INLINE GroupRule symmetric_rule(GroupRange range, int bits) {
  const std::int32_t half = 1 << (bits - 1);
  const auto top = static_cast<float>(half - 1);
  if (!range.finite) {
    return {0, 0, 0, 0, 0, kFp16Nan, true};
  }
  const float magnitude = greatest(range.high, -range.low);
  const std::uint32_t scale_bits = fp16_at_or_above(magnitude * (1.0F / top));
  const float inverse = scale_bits == 0 ? 0.0F : 1.0F / fp16_to_float(scale_bits);
  return {0, inverse, -top, top, half, scale_bits, false};
}

FT_INLINE GroupRule log8_rule(GroupRange range, int bits) {
  const auto levels = static_cast<float>((1 << bits) - 1);
  const float low = least(range.low, 0.0F);
  const float span = greatest(range.high, 0.0F) - low;
  if (!range.finite || !is_finite(span)) {
    return {0, 0, 0, 0, 0, kLog8Nan, true};
  }
  const std::int32_t e = log8_exponent(span * (1.0F / levels));
  if (e == -128) {
    return {0, 0, 0, 0, 0, kLog8Constant, false};
  }
  const float inverse = 1.0F / log8_scale(e);
  // NOLINTNEXTLINE(bugprone-incorrect-roundings): not negative, and alike in every implementation
  const auto zero = static_cast<std::int32_t>(least(-low * inverse, levels) + 0.5F);
  const auto shift = static_cast<float>(zero);
  return {0,      inverse,
          -shift, levels - shift,
          zero,   (static_cast<std::uint32_t>(e) & 0xffU) | (static_cast<std::uint32_t>(zero) << 8),
          false};
}

// fp8 codes are e4m3(x * inverse); only `inverse` and `metadata` matter.
FT_INLINE GroupRule fp8_rule(GroupRange range) {
  if (!range.finite) {
    return {0, 0, 0, 0, 0, kQuietNan, true};
  }
  const float scale = greatest(range.high, -range.low) * (1.0F / 448.0F);
  if (scale < 0x1p-126F) {
    return {0, 0, 0, 0, 0, 0, false};
  }
  return {0, 1.0F / scale, 0, 0, 0, float_bits(scale), false};
}

FT_INLINE GroupRule group_rule(WireFormat::Scale kind, int bits, GroupRange range) {
  switch (kind) {
    case WireFormat::Scale::affine:
      return affine_rule(range, bits);
    case WireFormat::Scale::symmetric:
      return symmetric_rule(range, bits);
    case WireFormat::Scale::log8:
      return log8_rule(range, bits);
    default:
      return fp8_rule(range);
  }
}

FT_INLINE GroupScale group_scale(WireFormat::Scale kind, int bits, std::uint32_t metadata) {
  switch (kind) {
    case WireFormat::Scale::affine:
      return {bits_float(metadata << 16), bits_float(metadata & 0xffff0000U)};
    case WireFormat::Scale::symmetric: {
      const float scale = fp16_to_float(metadata & 0xffffU);
      return {scale, -static_cast<float>(1 << (bits - 1)) * scale};
    }
    case WireFormat::Scale::log8: {
      const auto e = static_cast<std::int8_t>(metadata & 0xffU);
      const auto zero = static_cast<float>((metadata >> 8) & 0xffU);
      if (e == -128) {
        const float value = zero == 0 ? 0.0F : bits_float(kQuietNan);
        return {value, value};
      }
      const float scale = log8_scale(e);
      return {scale, -zero * scale};
    }
    default:
      return {bits_float(metadata), 0};
  }
}

}  // namespace foretoken::kernels
