// Wire formats: how values travel between ranks. One grammar everywhere:
//
//   fp32 | bf16 | fp16 | fp8[/gG] | intB[/gG][/spike][/affine|/sym|/log8]      B 2..8, G 32, 64,
//   128
//
// Defaults: g128 for B >= 5, g32 for B <= 4, affine (FlashCommunication V2, arXiv 2508.03760).
//
// Byte layout of a packed message of n values, little endian, the same for every implementation:
//
// * Ungrouped formats (fp32, bf16, fp16, fp8) are n elements in order.
// * Grouped formats are cut into groups of G consecutive values; the last group is filled up by
//   repeating the last value. Groups are cut into blocks of 1,024 values (the last may be shorter,
//   a whole number of groups). Every block is self-contained, and full blocks are a multiple of 16
//   bytes, so that 16-byte accesses stay aligned. A block of g groups holds, in this order:
//     1. the bit planes of its codes (a spike's own code is 0), widest first: 8 = 8, 7 = 4+2+1, 6 =
//     4+2, 5 = 4+1, 4 = 4,
//        3 = 2+1, 2 = 2 bits. Each plane is contiguous; value i stands at bits i*w of its plane,
//        lowest first; the widest plane holds the lowest bits of the code. fp8 codes are one byte;
//     2. per group its scale: affine bf16 scale, bf16 zero point; sym fp16 scale; log8 int8
//        exponent, uint8 zero code; fp8 fp32 scale;
//     3. with spikes, per group bf16 minimum, bf16 maximum;
//     4. with spikes, per group uint8 position of the minimum, uint8 position of the maximum.
//
// Special values. Ungrouped formats carry NaN and infinity (fp8 has no infinity: it becomes NaN, a
// finite value saturates at 448). A group that holds a NaN or an infinity, or whose range exceeds
// the largest fp32, is poisoned: all of its values arrive as NaN, so that an overflow stays
// visible. Other groups are untouched. The sign of a negative zero survives in ungrouped formats
// only. Groups with a scale below 2^-126 (affine, fp8) or 2^-16 (log8) arrive as one value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretoken::kernels {

struct WireFormat {
  enum class Kind : std::uint8_t { fp32, bf16, fp16, fp8, integer };
  enum class Scale : std::uint8_t { none, affine, symmetric, log8, fp32 };
  Kind kind = Kind::bf16;
  int bits = 16;  // of one value, metadata apart
  int group = 0;  // values that share a scale; 0 = ungrouped
  bool spike = false;
  Scale scale = Scale::none;

  bool operator==(const WireFormat&) const = default;
  bool grouped() const { return group != 0; }
};

inline constexpr std::size_t kBlockValues = 1024;

// Throws KernelError with the remedy: `unknown wire format "int9" (2..8 bits; try int8)`.
WireFormat parse_wire_format(std::string_view text);
std::string to_string(const WireFormat& format);  // the grammar, defaults left out

// Every grouped and ungrouped format there is, in a fixed order.
std::vector<WireFormat> all_wire_formats();

// Bytes of metadata of one group: 2 or 4 for the scale, 6 more with spikes.
std::size_t metadata_bytes(const WireFormat& format);
// Bytes of the scale alone.
std::size_t scale_bytes(const WireFormat& format);
// Groups that n values take, the last one filled up; 0 for ungrouped formats.
std::size_t group_count(const WireFormat& format, std::size_t n);
// Bytes that n values take on the wire.
std::size_t packed_bytes(const WireFormat& format, std::size_t n);

}  // namespace foretoken::kernels
