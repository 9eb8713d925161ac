// The byte layout of wire_format.h, read by an independent decoder: one bit at a time, straight
// from the documentation, in fp64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/base/float_types.h"
#include "kernels/codec/codec.h"

namespace foretoken::kernels {
namespace {

using Scale = WireFormat::Scale;

std::vector<int> plane_widths(int bits) {  // widest first, lowest bits of the code first
  std::vector<int> widths;
  for (const int width : {8, 4, 2, 1}) {
    if (bits >= width) {
      widths.push_back(width);
      bits -= width;
    }
  }
  return widths;
}

class BlockReader {
 public:
  BlockReader(const WireFormat& format, const std::uint8_t* block, std::size_t values)
      : format_(format), block_(block), values_(values) {}

  unsigned code(std::size_t i) const {
    unsigned code = 0;
    int shift = 0;
    std::size_t plane = 0;  // in bits
    for (const int width : plane_widths(format_.bits)) {
      for (int b = 0; b < width; ++b) {
        code |= bit(plane + i * width + b) << (shift + b);
      }
      shift += width;
      plane += values_ * width;
    }
    return code;
  }

  double value(std::size_t i) const {
    const std::size_t group = i / format_.group;
    const std::size_t groups = values_ / format_.group;
    const std::size_t scales = values_ * format_.bits / 8;
    const std::size_t spikes = scales + groups * scale_bytes(format_);
    const std::size_t positions = spikes + groups * 4;
    if (format_.spike) {
      for (std::size_t s = 0; s < 2; ++s) {
        if (block_[positions + 2 * group + s] == i % format_.group) {
          return to_float(Bf16{half(spikes + 4 * group + 2 * s)});
        }
      }
    }
    return decode(scales + group * scale_bytes(format_), code(i));
  }

 private:
  unsigned bit(std::size_t index) const { return (block_[index / 8] >> (index % 8)) & 1U; }
  std::uint16_t half(std::size_t at) const {
    return static_cast<std::uint16_t>(block_[at] | (block_[at + 1] << 8));
  }
  double decode(std::size_t at, unsigned code) const {
    switch (format_.scale) {
      case Scale::affine:
        return code * static_cast<double>(to_float(Bf16{half(at)})) + to_float(Bf16{half(at + 2)});
      case Scale::symmetric:
        return (static_cast<int>(code) - (1 << (format_.bits - 1))) *
               static_cast<double>(to_float(Fp16{half(at)}));
      case Scale::log8: {
        const int e = static_cast<std::int8_t>(block_[at]);
        const double exact = e == -128 ? 0 : std::exp2(e / 8.0);
        return (static_cast<int>(code) - block_[at + 1]) * std::ceil(exact * kTwelveBits(exact)) /
               kTwelveBits(exact);
      }
      default: {
        float scale = 0;
        std::memcpy(&scale, block_ + at, 4);
        return static_cast<double>(to_float(Fp8E4m3{static_cast<std::uint8_t>(code)})) * scale;
      }
    }
  }
  static double kTwelveBits(double x) {  // 2^11 / 2^floor(log2 x): mantissas become whole numbers
    return x == 0 ? 1 : std::ldexp(1.0, 11 - std::ilogb(x));
  }

  WireFormat format_;
  const std::uint8_t* block_;
  std::size_t values_;
};

TEST(ByteLayout, An_independent_reader_of_the_documentation_decodes_every_format) {
  std::mt19937 random(17);
  std::normal_distribution<float> normal;
  constexpr std::size_t kCount = kBlockValues + 3 * 128 - 5;  // a full block, a short one, a rest
  std::vector<float> x(kCount);
  for (float& v : x) {
    v = normal(random);
  }
  x[70] = 900.0F;
  for (const WireFormat& format : all_wire_formats()) {
    if (!format.grouped()) {
      continue;
    }
    std::vector<std::uint8_t> packed(packed_bytes(format, kCount));
    std::vector<float> out(kCount);
    reference_codec().pack(format, {x.data(), ValueType::fp32}, kCount, packed.data());
    reference_codec().unpack(format, packed.data(), kCount, {out.data(), ValueType::fp32});
    const std::size_t rest = group_count(format, kCount - kBlockValues) * format.group;
    const BlockReader first(format, packed.data(), kBlockValues);
    const BlockReader second(format, packed.data() + packed_bytes(format, kBlockValues), rest);
    for (std::size_t i = 0; i < kCount; ++i) {
      const double expected = i < kBlockValues ? first.value(i) : second.value(i - kBlockValues);
      ASSERT_EQ(out[i], static_cast<float>(expected)) << to_string(format) << " value " << i;
    }
  }
}

// 0, 1, 2, .. 31 and 5 bits: scale 1, zero 0, so that codes are the values. Plane of 4 bits: bytes
// 0x10, 0x32, .. 0xfe twice; plane of 1 bit: bit 4 of each code, clear for the first 16.
TEST(ByteLayout, Five_bits_are_a_plane_of_four_and_a_plane_of_one) {
  const WireFormat format = parse_wire_format("int5/g32");
  std::vector<float> x(32);
  for (int i = 0; i < 32; ++i) {
    x[i] = static_cast<float>(i);
  }
  std::vector<std::uint8_t> packed(packed_bytes(format, 32));
  reference_codec().pack(format, {x.data(), ValueType::fp32}, 32, packed.data());
  std::vector<std::uint8_t> expected;
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 16; i += 2) {
      expected.push_back(static_cast<std::uint8_t>(((i + 1) << 4) | i));
    }
  }
  for (const int byte : {0x00, 0x00, 0xff, 0xff, 0x80, 0x3f, 0x00, 0x00}) {  // bf16 1.0, bf16 0.0
    expected.push_back(static_cast<std::uint8_t>(byte));
  }
  EXPECT_EQ(packed, expected);
}

// 30 values 0..3 in turn, a spike of -500 at 3 and one of 512 at 9. bf16(-500) = 0xc3fa, bf16(512)
// = 0x4400.
TEST(ByteLayout, Spikes_stand_behind_the_scales_and_positions_last) {
  const WireFormat format = parse_wire_format("int2/g32/spike");
  std::vector<float> x(32);
  for (int i = 0; i < 32; ++i) {
    x[i] = static_cast<float>(i % 4);
  }
  x[3] = -500.0F;
  x[9] = 512.0F;
  std::vector<std::uint8_t> packed(packed_bytes(format, 32));
  reference_codec().pack(format, {x.data(), ValueType::fp32}, 32, packed.data());
  // Codes 0,1,2,3: 0xe4; a spike's own code is 0: 0x24 with value 3, 0xe0 with value 9 sent apart.
  const std::vector<std::uint8_t> expected{0x24, 0xe4, 0xe0, 0xe4, 0xe4, 0xe4,
                                           0xe4, 0xe4, 0x80, 0x3f, 0x00, 0x00,  // scale 1, zero 0
                                           0xfa, 0xc3, 0x00, 0x44,              // -500, 512
                                           3,    9};
  EXPECT_EQ(packed, expected);
}

}  // namespace
}  // namespace foretoken::kernels
