#include "sim/spec/format.h"

#include <gtest/gtest.h>

#include "sim/core/error.h"

namespace foretoken {
namespace {

std::string refusal(std::string_view text, FormatRole role) {
  try {
    parse_format(text, role);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

// Rows of "Bytes per value" (FlashCommunication V2): w = b/8 + m/g.
TEST(Format, Wire_bytes_per_value_match_the_published_table) {
  const auto bytes = [](std::string_view text) {
    return parse_format(text, FormatRole::wire).bytes_per_value();
  };
  EXPECT_DOUBLE_EQ(bytes("int8/g128"), 1.03125);
  EXPECT_DOUBLE_EQ(bytes("int2/g128"), 0.28125);
  EXPECT_DOUBLE_EQ(bytes("int8/g32/sym"), 1.0625);
  EXPECT_DOUBLE_EQ(bytes("int3/g32/log8"), 0.4375);
  EXPECT_DOUBLE_EQ(bytes("int5/g32"), 0.75);
  EXPECT_DOUBLE_EQ(bytes("int2/g32/spike/log8"), 0.5);
  EXPECT_DOUBLE_EQ(bytes("int7/g128/spike/log8"), 0.9375);
  EXPECT_DOUBLE_EQ(bytes("bf16"), 2);
}

TEST(Format, Wire_defaults_are_g128_from_five_bits_and_g32_below) {
  EXPECT_EQ(parse_format("int5", FormatRole::wire),
            parse_format("int5/g128/affine", FormatRole::wire));
  EXPECT_EQ(parse_format("int4", FormatRole::wire),
            parse_format("int4/g32/affine", FormatRole::wire));
}

TEST(Format, What_is_printed_parses_back) {
  for (const std::string_view text :
       {"bf16", "fp8", "int4/g128/integer-scale", "int8", "int4/g128"}) {
    const Format format = parse_format(text, FormatRole::weights);
    EXPECT_EQ(parse_format(to_string(format), FormatRole::weights), format) << text;
  }
  for (const std::string_view text :
       {"int5/g64/spike/log8", "int2/g32/spike", "int8", "fp8", "fp8/g128"}) {
    const Format format = parse_format(text, FormatRole::wire);
    EXPECT_EQ(parse_format(to_string(format), FormatRole::wire), format) << text;
  }
}

TEST(Format, A_wrong_format_is_refused_with_a_remedy) {
  EXPECT_EQ(refusal("int9", FormatRole::wire), "unknown format \"int9\" (2..8 bits; try int8)");
  EXPECT_EQ(refusal("int1", FormatRole::wire), "unknown format \"int1\" (2..8 bits; try int2)");
  EXPECT_EQ(refusal("bf61", FormatRole::weights), "unknown format \"bf61\" (try bf16)");
  for (const auto& [text, role] : std::initializer_list<std::pair<std::string_view, FormatRole>>{
           {"int4/g33", FormatRole::wire},
           {"int4/g32/g32", FormatRole::wire},
           {"int4/spike", FormatRole::weights},
           {"int4/integer-scale", FormatRole::weights},
           {"bf16/g32", FormatRole::wire},
           {"int3", FormatRole::activations},
           {"int5/", FormatRole::wire},
           {"", FormatRole::wire}}) {
    EXPECT_NE(refusal(text, role), "accepted") << text;
  }
}

}  // namespace
}  // namespace foretoken
