// The simulator counts the bytes that the wire codec really sends.
#include "sim/network/wire_size.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/codec/wire_format.h"

namespace foretoken {
namespace {

TEST(WireSize, Equals_the_codecs_packed_size_for_every_format_and_count) {
  std::mt19937_64 random(20261122);
  for (const kernels::WireFormat& codec : kernels::all_wire_formats()) {
    const std::string text = kernels::to_string(codec);
    const Format format = parse_format(text, FormatRole::wire);
    const auto check = [&](std::size_t n) {
      ASSERT_EQ(packed_bytes(static_cast<std::int64_t>(n), format),
                static_cast<std::int64_t>(kernels::packed_bytes(codec, n)))
          << text << ", " << n << " values";
    };
    for (std::size_t n = 0; n <= 2100; ++n) {  // every place in groups and blocks
      check(n);
    }
    for (int i = 0; i < 200; ++i) {
      check(random() % 100'000'000);
    }
  }
}

// What the simulator writes, the codec reads back as the same format.
TEST(WireSize, Both_grammars_mean_the_same) {
  for (const kernels::WireFormat& codec : kernels::all_wire_formats()) {
    const Format format = parse_format(kernels::to_string(codec), FormatRole::wire);
    EXPECT_EQ(kernels::parse_wire_format(to_string(format)), codec) << to_string(format);
  }
}

}  // namespace
}  // namespace foretoken
