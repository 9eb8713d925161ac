// Inputs that codecs get wrong: shared by the tests of every implementation.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/base/float_types.h"
#include "kernels/codec/codec.h"

namespace foretoken::kernels {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Pattern {
  std::string name;
  std::vector<float> values;
};

inline std::vector<float> normal_values(std::size_t n, unsigned seed, float sigma = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, sigma);
  std::vector<float> x(n);
  for (float& v : x) {
    v = normal(random);
  }
  return x;
}

// `change` sees every value and its index.
template <typename Change>
Pattern pattern(const std::string& name, std::size_t n, Change change) {
  Pattern p{name, normal_values(n, 99)};
  for (std::size_t i = 0; i < n; ++i) {
    p.values[i] = change(p.values[i], i);
  }
  return p;
}

inline std::vector<Pattern> patterns(std::size_t n) {
  const float denormal = std::numeric_limits<float>::denorm_min();
  const float largest = std::numeric_limits<float>::max();
  std::mt19937 random(5);
  return {
      pattern("normal", n, [](float x, std::size_t) { return x; }),
      pattern("all zero", n, [](float, std::size_t) { return 0.0F; }),
      pattern("negative zeros among zeros", n,
              [](float, std::size_t i) { return i % 3 == 0 ? -0.0F : 0.0F; }),
      pattern("none below zero", n, [](float x, std::size_t) { return std::abs(x); }),
      pattern("none above zero", n, [](float x, std::size_t) { return -std::abs(x); }),
      pattern("one below zero", n,
              [](float x, std::size_t i) { return i % 32 == 7 ? -0.5F : std::abs(x); }),
      pattern("one above zero", n,
              [](float x, std::size_t i) { return i % 32 == 7 ? 0.5F : -std::abs(x); }),
      pattern("all equal", n, [](float, std::size_t) { return -3.14159F; }),
      pattern("one spike", n, [](float x, std::size_t i) { return i % 32 == 31 ? 5600.0F : x; }),
      pattern("one negative spike first", n,
              [](float x, std::size_t i) { return i % 128 == 0 ? -5600.0F : x; }),
      pattern("two equal spikes", n,
              [](float x, std::size_t i) { return i % 32 == 3 || i % 32 == 17 ? 500.0F : x; }),
      pattern("two equal minima", n,
              [](float x, std::size_t i) { return i % 64 == 5 || i % 64 == 40 ? -777.0F : x; }),
      pattern("a minimum and a maximum side by side", n,
              [](float x, std::size_t i) {
                return i % 32 == 30 ? -900.0F : i % 32 == 31 ? 901.0F : x;
              }),
      pattern("few distinct values", n,
              [](float, std::size_t i) { return static_cast<float>(i % 5); }),
      pattern("denormals", n,
              [=](float, std::size_t i) { return static_cast<float>(i % 7) * denormal; }),
      pattern("denormals among values", n,
              [=](float x, std::size_t i) { return i % 2 == 0 ? denormal : x * 1e-20F; }),
      pattern("tiny", n, [](float x, std::size_t) { return x * 1e-37F; }),
      pattern("around the log8 threshold", n, [](float x, std::size_t) { return x * 0x1p-10F; }),
      pattern("huge", n, [](float x, std::size_t) { return x * 3e37F; }),
      pattern("the largest finite values", n,
              [=](float x, std::size_t i) {
                return i % 40 == 0 ? largest : i % 40 == 20 ? -largest : x;
              }),
      pattern("large offset", n, [](float x, std::size_t) { return 1000.0F + 1e-3F * x; }),
      pattern("one NaN", n, [](float x, std::size_t i) { return i % 300 == 7 ? kNan : x; }),
      pattern("one infinity", n,
              [](float x, std::size_t i) { return i % 300 == 9 ? kInfinity : x; }),
      pattern("both infinities", n,
              [](float x, std::size_t i) {
                return i % 300 == 9 ? kInfinity : i % 300 == 10 ? -kInfinity : x;
              }),
      pattern("all NaN", n, [](float, std::size_t) { return kNan; }),
      pattern("random bits", n,
              [&](float, std::size_t) {
                return __builtin_bit_cast(float, static_cast<std::uint32_t>(random()));
              }),
  };
}

inline std::vector<std::uint8_t> to_elements(const std::vector<float>& x, std::size_t n,
                                             ValueType type) {
  std::vector<std::uint8_t> out(n * value_bytes(type));
  for (std::size_t i = 0; i < n; ++i) {
    if (type == ValueType::fp32) {
      std::memcpy(&out[4 * i], &x[i], 4);
    } else {
      const std::uint16_t bits = type == ValueType::bf16 ? to_bf16(x[i]).bits : to_fp16(x[i]).bits;
      std::memcpy(&out[2 * i], &bits, 2);
    }
  }
  return out;
}

inline float element(const std::vector<std::uint8_t>& values, std::size_t i, ValueType type) {
  if (type == ValueType::fp32) {
    float x = 0;
    std::memcpy(&x, &values[4 * i], 4);
    return x;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, &values[2 * i], 2);
  return type == ValueType::bf16 ? to_float(Bf16{bits}) : to_float(Fp16{bits});
}

// Same bits, or NaN both.
inline void expect_same(const std::vector<std::uint8_t>& actual,
                        const std::vector<std::uint8_t>& expected, ValueType type,
                        const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  if (actual == expected) {
    return;
  }
  for (std::size_t i = 0; i < actual.size() / value_bytes(type); ++i) {
    const float a = element(actual, i, type);
    const float b = element(expected, i, type);
    const bool same = (std::isnan(a) && std::isnan(b)) ||
                      std::memcmp(&actual[i * value_bytes(type)], &expected[i * value_bytes(type)],
                                  value_bytes(type)) == 0;
    ASSERT_TRUE(same) << what << " value " << i << ": " << a << " instead of " << b;
  }
}

// Unquantised messages may differ in the payload of a NaN, nothing else may: hardware widens and
// narrows NaNs in its own ways.
inline void expect_same_message(const WireFormat& format, const std::vector<std::uint8_t>& actual,
                                const std::vector<std::uint8_t>& expected,
                                const std::string& what) {
  switch (format.kind) {
    case WireFormat::Kind::fp32:
      return expect_same(actual, expected, ValueType::fp32, what);
    case WireFormat::Kind::bf16:
      return expect_same(actual, expected, ValueType::bf16, what);
    case WireFormat::Kind::fp16:
      return expect_same(actual, expected, ValueType::fp16, what);
    default:
      ASSERT_EQ(actual, expected) << what;
  }
}

}  // namespace foretoken::kernels
