// bf16, fp16 and fp8 (e4m3) as bit patterns, with conversions from and to fp32 that round to
// nearest even. Portable scalar code, the meaning that every vector and CUDA version must
// reproduce.
#pragma once

#include <cstdint>

#include "kernels/base/force_inline.h"

namespace foretoken::kernels {

// Storage only: arithmetic happens in fp32.
struct Bf16 {
  std::uint16_t bits = 0;
  bool operator==(const Bf16&) const = default;
};

struct Fp16 {
  std::uint16_t bits = 0;
  bool operator==(const Fp16&) const = default;
};

struct Fp8E4m3 {  // 4 exponent bits (bias 7), 3 mantissa bits, no infinity, NaN = 0x7f or 0xff
  std::uint8_t bits = 0;
  bool operator==(const Fp8E4m3&) const = default;
};

inline constexpr float kFp8E4m3Max = 448.0F;

FT_INLINE float to_float(float value) { return value; }

FT_INLINE float to_float(Bf16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}

// A NaN stays a NaN (its top mantissa bit is set); too large a value becomes infinity.
FT_INLINE Bf16 to_bf16(float value) {
  const auto u = __builtin_bit_cast(std::uint32_t, value);
  if ((u & 0x7fffffffU) > 0x7f800000U) {
    return {static_cast<std::uint16_t>((u >> 16) | 0x40U)};
  }
  return {static_cast<std::uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16)};
}

FT_INLINE float to_float(Fp16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t magnitude = value.bits & 0x7fffU;
  if (magnitude >= 0x7c00U) {  // infinity, or a NaN made quiet as the processor's conversion does
    const std::uint32_t quiet = magnitude > 0x7c00U ? 0x400000U : 0U;
    return __builtin_bit_cast(float, sign | 0x7f800000U | quiet | ((magnitude & 0x3ffU) << 13));
  }
  // Shift the fields in place, then let one exact multiplication correct the exponent bias; it also
  // normalises denormals.
  const float scaled = __builtin_bit_cast(float, magnitude << 13) * 0x1p112F;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scaled) | sign);
}

FT_INLINE Fp16 to_fp16(float value) {
  const auto u = __builtin_bit_cast(std::uint32_t, value);
  const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000U);
  const std::uint32_t magnitude = u & 0x7fffffffU;
  std::uint32_t half = 0;
  if (magnitude > 0x7f800000U) {
    half = 0x7e00U | ((magnitude >> 13) & 0x3ffU);
  } else if (magnitude >= 0x477ff000U) {  // 65520 and above round to infinity
    half = 0x7c00U;
  } else if (magnitude < 0x38800000U) {  // below 2^-14: the addition rounds to multiples of 2^-24
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5F;
    half = __builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000U;
  } else {
    half = (magnitude - 0x38000000U + 0xfffU + ((magnitude >> 13) & 1U)) >> 13;
  }
  return {static_cast<std::uint16_t>(sign | half)};
}

FT_INLINE float to_float(Fp8E4m3 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x80U) << 24;
  const std::uint32_t magnitude = value.bits & 0x7fU;
  if (magnitude == 0x7fU) {
    return __builtin_bit_cast(float, sign | 0x7fc00000U);
  }
  const float scaled = __builtin_bit_cast(float, magnitude << 20) * 0x1p120F;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scaled) | sign);
}

// Saturates finite values at 448; NaN and infinity become NaN, so that an overflow stays visible.
FT_INLINE Fp8E4m3 to_fp8_e4m3(float value) {
  const auto u = __builtin_bit_cast(std::uint32_t, value);
  const auto sign = static_cast<std::uint8_t>((u >> 24) & 0x80U);
  const std::uint32_t magnitude = u & 0x7fffffffU;
  std::uint32_t code = 0;
  if (magnitude >= 0x7f800000U) {
    code = 0x7fU;
  } else if (magnitude >= 0x43e00000U) {  // 448
    code = 0x7eU;
  } else if (magnitude < 0x3c800000U) {  // below 2^-6: the addition rounds to multiples of 2^-9
    const float shifted = __builtin_bit_cast(float, magnitude) + 0x1p14F;
    code = __builtin_bit_cast(std::uint32_t, shifted) - 0x46800000U;
  } else {
    code = (magnitude - 0x3c000000U + 0x7ffffU + ((magnitude >> 20) & 1U)) >> 20;
  }
  return {static_cast<std::uint8_t>(sign | code)};
}

// One name for generic code: from_float<Bf16>(x).
template <typename T>
T from_float(float value);
template <>
inline float from_float<float>(float value) {
  return value;
}
template <>
inline Bf16 from_float<Bf16>(float value) {
  return to_bf16(value);
}
template <>
inline Fp16 from_float<Fp16>(float value) {
  return to_fp16(value);
}
template <>
inline Fp8E4m3 from_float<Fp8E4m3>(float value) {
  return to_fp8_e4m3(value);
}

}  // namespace foretoken::kernels
