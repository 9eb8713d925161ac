// Every implementation against the scalar reference: same bytes, same values, for every format,
// around block edges, with every special value we could think of.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/base/float_types.h"
#include "kernels/codec/codec.h"
#include "special_patterns.h"

namespace foretoken::kernels {
namespace {

// Element counts around the edges of groups and blocks.
std::vector<std::size_t> counts() {
  std::vector<std::size_t> n{1, 2, 15, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160, 256, 1000};
  for (const std::size_t blocks : {1, 2}) {
    for (const int delta : {-128, -33, -32, -1, 0, 1, 31, 32, 33, 128}) {
      n.push_back(blocks * kBlockValues + delta);
    }
  }
  return n;
}

constexpr std::uint8_t kGuard = 0xa5;

// The message with guard bytes behind it, which must survive.
std::vector<std::uint8_t> pack(const Codec& codec, const WireFormat& format, const void* in,
                               ValueType type, std::size_t n) {
  std::vector<std::uint8_t> out(packed_bytes(format, n) + 64, kGuard);
  codec.pack(format, {in, type}, n, out.data());
  return out;
}

std::vector<std::uint8_t> sum(const Codec& codec, const WireFormat& format,
                              std::vector<const std::uint8_t*> inputs, std::size_t n,
                              ValueType type) {
  std::vector<std::uint8_t> out(n * value_bytes(type) + 64, kGuard);
  codec.unpack_accumulate(format, inputs, n, {out.data(), type});
  for (std::size_t i = out.size() - 64; i < out.size(); ++i) {
    EXPECT_EQ(out[i], kGuard);
  }
  out.resize(out.size() - 64);
  return out;
}

class CodecAgreement : public testing::TestWithParam<const Codec*> {};

void compare_all(const Codec& codec, const WireFormat& format, const Pattern& p, std::size_t n,
                 ValueType type) {
  const std::string what = to_string(format) + ", " + p.name + ", n " + std::to_string(n) + ", " +
                           std::string(to_string(type));
  const auto in = to_elements(p.values, n, type);
  const auto expected = pack(reference_codec(), format, in.data(), type, n);
  const auto actual = pack(codec, format, in.data(), type, n);
  if (type == ValueType::fp32 &&
      (format.kind == WireFormat::Kind::bf16 || format.kind == WireFormat::Kind::fp16)) {
    const std::vector<std::uint8_t> a(actual.begin(), actual.end() - 64);
    const std::vector<std::uint8_t> e(expected.begin(), expected.end() - 64);
    expect_same(a, e, format.kind == WireFormat::Kind::bf16 ? ValueType::bf16 : ValueType::fp16,
                what);
  } else {
    ASSERT_EQ(actual, expected) << what;
  }
  expect_same(sum(codec, format, {expected.data()}, n, type),
              sum(reference_codec(), format, {expected.data()}, n, type), type, what);
}

TEST_P(CodecAgreement, Every_format_around_every_edge_with_special_values) {
  const auto all = patterns(2 * kBlockValues + 128);
  for (const WireFormat& format : all_wire_formats()) {
    for (const std::size_t n : counts()) {
      for (const Pattern& p : all) {
        compare_all(*GetParam(), format, p, n, ValueType::fp32);
        if (HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TEST_P(CodecAgreement, Every_element_type) {
  const auto all = patterns(2 * kBlockValues + 128);
  for (const WireFormat& format : all_wire_formats()) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{77}, kBlockValues, kBlockValues + 31}) {
      for (const Pattern& p : all) {
        compare_all(*GetParam(), format, p, n, ValueType::bf16);
        compare_all(*GetParam(), format, p, n, ValueType::fp16);
        if (HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TEST_P(CodecAgreement, Fused_sums_and_requantisation) {
  constexpr std::size_t kRanks = 5;
  const auto formats = all_wire_formats();
  for (std::size_t f = 0; f < formats.size(); ++f) {
    const WireFormat& format = formats[f];
    const WireFormat& to =
        formats[(f * 7 + 3) % formats.size()];  // every pairing would be too many
    for (const std::size_t n : {std::size_t{1}, std::size_t{95}, kBlockValues, kBlockValues + 33}) {
      std::vector<std::vector<std::uint8_t>> messages;
      std::vector<const std::uint8_t*> inputs;
      for (unsigned rank = 0; rank < kRanks; ++rank) {
        auto x = normal_values(n, rank);
        x[n / 2] = rank == 3 ? 3000.0F : x[n / 2];
        messages.push_back(pack(reference_codec(), format, x.data(), ValueType::fp32, n));
      }
      for (const auto& m : messages) {
        inputs.push_back(m.data());
      }
      for (const auto type : {ValueType::fp32, ValueType::bf16, ValueType::fp16}) {
        expect_same(sum(*GetParam(), format, inputs, n, type),
                    sum(reference_codec(), format, inputs, n, type), type, to_string(format));
      }
      std::vector<std::uint8_t> expected(packed_bytes(to, n) + 64, kGuard);
      std::vector<std::uint8_t> actual = expected;
      reference_codec().unpack_reduce_pack(format, inputs, n, to, expected.data());
      GetParam()->unpack_reduce_pack(format, inputs, n, to, actual.data());
      ASSERT_EQ(actual, expected) << to_string(format) << " to " << to_string(to) << " n " << n;
    }
  }
}

TEST_P(CodecAgreement, Unaligned_buffers) {
  const auto x = normal_values(3 * kBlockValues, 8);
  std::vector<std::uint8_t> in(x.size() * 4 + 3);
  std::memcpy(in.data() + 3, x.data(), x.size() * 4);
  for (const WireFormat& format : all_wire_formats()) {
    std::vector<std::uint8_t> packed(packed_bytes(format, x.size()) + 1);
    std::vector<std::uint8_t> out(x.size() * 2 + 2);
    GetParam()->pack(format, {in.data() + 3, ValueType::fp32}, x.size(), packed.data() + 1);
    GetParam()->unpack(format, packed.data() + 1, x.size(), {out.data() + 2, ValueType::bf16});
    std::vector<std::uint8_t> expected(packed.size() - 1);
    reference_codec().pack(format, {x.data(), ValueType::fp32}, x.size(), expected.data());
    ASSERT_EQ(std::memcmp(packed.data() + 1, expected.data(), expected.size()), 0);
  }
}

std::string codec_name(const testing::TestParamInfo<const Codec*>& info) {
  return std::string(info.param->name());
}

INSTANTIATE_TEST_SUITE_P(All, CodecAgreement, testing::ValuesIn(available_codecs()), codec_name);

// ---- what the special values mean, on the reference
// ----------------------------------------------

std::vector<float> round_trip(const WireFormat& format, const std::vector<float>& x) {
  std::vector<std::uint8_t> packed(packed_bytes(format, x.size()));
  std::vector<float> out(x.size());
  reference_codec().pack(format, {x.data(), ValueType::fp32}, x.size(), packed.data());
  reference_codec().unpack(format, packed.data(), x.size(), {out.data(), ValueType::fp32});
  return out;
}

TEST(CodecSpecialValues, Nan_or_infinity_turns_its_own_group_into_nan_and_no_other) {
  for (const WireFormat& format : all_wire_formats()) {
    for (const float bad : {kNan, kInfinity, -kInfinity}) {
      auto x = normal_values(3 * 128, 4);
      x[130] = bad;
      const auto out = round_trip(format, x);
      if (!format.grouped()) {
        const bool becomes_nan = std::isnan(bad) || format.kind == WireFormat::Kind::fp8;
        EXPECT_TRUE(becomes_nan ? std::isnan(out[130]) : out[130] == bad) << to_string(format);
        EXPECT_FALSE(std::isnan(out[131]));
        continue;
      }
      const std::size_t group = 130 / static_cast<std::size_t>(format.group);
      for (std::size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(std::isnan(out[i]), i / static_cast<std::size_t>(format.group) == group)
            << to_string(format) << " value " << i;
      }
    }
  }
}

TEST(CodecSpecialValues, Zeros_of_either_sign_arrive_as_zero) {
  for (const WireFormat& format : all_wire_formats()) {
    std::vector<float> x(256, 0.0F);
    x[3] = x[200] = -0.0F;
    for (const float v : round_trip(format, x)) {
      ASSERT_EQ(v, 0.0F) << to_string(format);
    }
  }
}

TEST(CodecSpecialValues, Spikes_arrive_as_bf16_of_themselves_wherever_they_stand) {
  for (const WireFormat& format : all_wire_formats()) {
    if (!format.spike) {
      continue;
    }
    const auto group = static_cast<std::size_t>(format.group);
    for (std::size_t low = 0; low < group; low += 7) {
      const std::size_t high = (low + group / 2 + 3) % group;
      auto x = normal_values(group, 12);
      x[low] = -5600.0F;
      x[high] = 501.5F;
      const auto out = round_trip(format, x);
      ASSERT_EQ(out[low], to_float(to_bf16(-5600.0F)));
      ASSERT_EQ(out[high], to_float(to_bf16(501.5F)));
    }
  }
}

// Nothing clips: every value is at most half a step away, where a step is the group's range over
// the number of steps, plus what the 8-bit (affine), 11-bit (sym) or log8 scale adds.
TEST(CodecSpecialValues, No_value_is_further_off_than_half_a_step) {
  const auto x = normal_values(128 * 64, 31, 0.7F);
  for (const WireFormat& format : all_wire_formats()) {
    if (format.kind != WireFormat::Kind::integer || format.spike) {
      continue;
    }
    const auto out = round_trip(format, x);
    for (std::size_t g = 0; g < x.size(); g += format.group) {
      const auto [low, high] = std::minmax_element(x.begin() + g, x.begin() + g + format.group);
      const double levels = (1 << format.bits) - 1;
      double step = (*high - *low) * (1 + 0x1p-6) / levels + std::abs(*low) * 0x1p-7 / levels;
      if (format.scale == WireFormat::Scale::symmetric) {
        step = std::max(*high, -*low) * (1 + 0x1p-10) / ((1 << (format.bits - 1)) - 1);
      } else if (format.scale == WireFormat::Scale::log8) {
        step = (std::max(*high, 0.0F) - std::min(*low, 0.0F)) * std::exp2(0.126) / levels;
      }
      for (std::size_t i = g; i < g + format.group; ++i) {
        ASSERT_LE(std::abs(out[i] - x[i]), step / 2 * (1 + 1e-5)) << to_string(format);
      }
    }
  }
}

}  // namespace
}  // namespace foretoken::kernels
