#include "sim/cost/gemm_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace foretoken {
namespace {

using ::testing::ElementsAre;

Format weights(std::string_view text) { return parse_format(text, FormatRole::weights); }
Format activations(std::string_view text) { return parse_format(text, FormatRole::activations); }

TEST(GemmFormat, Names_follow_the_profile_grammar) {
  EXPECT_EQ(gemm_format_name(kBf16, kBf16), "bf16");
  EXPECT_EQ(gemm_format_name(kFp16, kFp16), "fp16");
  EXPECT_EQ(gemm_format_name(kFp8, kFp8), "fp8");
  EXPECT_EQ(gemm_format_name(weights("fp8/g128"), kFp8), "fp8/g128");
  EXPECT_EQ(gemm_format_name(weights("int8"), activations("int8")), "w8a8");
  EXPECT_EQ(gemm_format_name(weights("int4"), kBf16), "w4a16");
  EXPECT_EQ(gemm_format_name(weights("int4/g128"), kBf16), "w4a16/g128");
  EXPECT_EQ(gemm_format_name(weights("int4"), activations("int8")), "w4a8");
  EXPECT_EQ(gemm_format_name(weights("int4/g128/integer-scale"), activations("int8")),
            "w4a8/g128/integer-scale");
  EXPECT_EQ(gemm_format_name(weights("fp8"), kBf16), "wfp8a16");
}

TEST(GemmFormat, Every_name_parses_back_to_itself) {
  for (const char* w : {"fp32", "bf16", "fp16", "fp8", "fp8/g128", "fp4/g16", "int8", "int4",
                        "int4/g128", "int3/g64", "int4/g32/integer-scale"}) {
    for (const char* a : {"fp32", "bf16", "fp16", "fp8", "int8"}) {
      const std::string name = gemm_format_name(weights(w), activations(a));
      const auto formats = parse_gemm_format_name(name);
      ASSERT_TRUE(formats) << name;
      EXPECT_EQ(gemm_format_name(formats->weights, formats->activations), name);
    }
  }
}

TEST(GemmFormat, What_is_no_name_is_refused) {
  for (const char* text :
       {"", "int8", "w9a8", "w4a", "wa8", "w4a7", "bf16/g128", "w4a16/", "w4a16/g", "w4a16/gx",
        "w4a16/g0", "fp8/integer-scale", "w44a8", "w4a16/g128/"}) {
    EXPECT_FALSE(parse_gemm_format_name(text)) << text;
  }
}

TEST(GemmFormat, Fallbacks_drop_options_and_end_in_the_arithmetic_format) {
  EXPECT_THAT(gemm_format_fallbacks(weights("int4/g128/integer-scale"), activations("int8")),
              ElementsAre("w4a8/g128/integer-scale", "w4a8/g128", "w4a8", "w8a8"));
  EXPECT_THAT(gemm_format_fallbacks(weights("int4/g128"), kBf16),
              ElementsAre("w4a16/g128", "w4a16", "bf16"));
  EXPECT_THAT(gemm_format_fallbacks(kBf16, kBf16), ElementsAre("bf16"));
}

}  // namespace
}  // namespace foretoken
