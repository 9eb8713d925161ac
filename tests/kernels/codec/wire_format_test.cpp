#include "kernels/codec/wire_format.h"

#include <gtest/gtest.h>

#include <string>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

TEST(WireFormat, Every_format_reads_back_what_it_writes) {
  const auto formats = all_wire_formats();
  EXPECT_EQ(formats.size(), 4U + 3U * (1U + 7U * 3U * 2U));
  for (const WireFormat& format : formats) {
    EXPECT_EQ(parse_wire_format(to_string(format)), format) << to_string(format);
  }
}

TEST(WireFormat, Defaults_are_affine_and_wide_groups_from_five_bits_on) {
  EXPECT_EQ(parse_wire_format("int5"), parse_wire_format("int5/g128/affine"));
  EXPECT_EQ(parse_wire_format("int4"), parse_wire_format("int4/g32/affine"));
  EXPECT_EQ(to_string(parse_wire_format("int4/g128/spike/log8")), "int4/g128/spike/log8");
  EXPECT_EQ(to_string(parse_wire_format("int2/affine/g32/spike")), "int2/spike");
}

TEST(WireFormat, A_wrong_format_is_refused_with_a_remedy) {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_wire_format(text);
    } catch (const KernelError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message("int9"), "unknown wire format \"int9\" (2..8 bits; try int8)");
  EXPECT_EQ(message("int1"), "unknown wire format \"int1\" (2..8 bits; try int2)");
  EXPECT_EQ(message("int4/g48"),
            "unknown wire format \"int4/g48\" (a wire group is g32, g64 or g128)");
  EXPECT_EQ(message("bf16/spike"),
            "unknown wire format \"bf16/spike\" (\"spike\" does not belong here)");
  EXPECT_EQ(message("int4/sym/log8"),
            "unknown wire format \"int4/sym/log8\" (\"log8\" does not belong here)");
  EXPECT_EQ(message("int"), "unknown wire format \"int\" (fp32, bf16, fp16, fp8 or int2 to int8)");
  EXPECT_EQ(message(""), "unknown wire format \"\" (fp32, bf16, fp16, fp8 or int2 to int8)");
}

// w = b/8 + m/g (FlashCommunication V2's accounting): 4,096 values, 2 bits, groups of 32, spikes:
// 1,024 B of codes and 128 groups of 8 B (log8) or 10 B (affine).
TEST(WireFormat, Packed_bytes_are_codes_plus_metadata) {
  EXPECT_EQ(packed_bytes(parse_wire_format("int2/g32/spike/log8"), 4096), 2048U);
  EXPECT_EQ(packed_bytes(parse_wire_format("int2/g32/spike"), 4096), 1024U + 1280U);
  EXPECT_EQ(packed_bytes(parse_wire_format("int5"), 4096), 2560U + 32U * 4U);
  EXPECT_EQ(packed_bytes(parse_wire_format("fp8/g128"), 4096), 4096U + 32U * 4U);
  EXPECT_EQ(packed_bytes(parse_wire_format("fp8"), 4097), 4097U);
  EXPECT_EQ(packed_bytes(parse_wire_format("bf16"), 3), 6U);
}

TEST(WireFormat, The_last_group_is_paid_in_full) {
  const WireFormat format = parse_wire_format("int4/g32/sym");
  EXPECT_EQ(packed_bytes(format, 0), 0U);
  EXPECT_EQ(packed_bytes(format, 1), 18U);
  EXPECT_EQ(packed_bytes(format, 32), 18U);
  EXPECT_EQ(packed_bytes(format, 33), 36U);
}

TEST(WireFormat, Full_blocks_are_a_multiple_of_sixteen_bytes) {
  for (const WireFormat& format : all_wire_formats()) {
    EXPECT_EQ(packed_bytes(format, kBlockValues) % 16, 0U) << to_string(format);
  }
}

}  // namespace
}  // namespace foretoken::kernels
