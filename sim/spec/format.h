// Number formats of weights, activations, KV cache and wire, in one grammar:
//
//   fp32 | bf16 | fp16 | fp8[/gG] | fp4[/gG] | intB[/gG][/spike][/affine|/sym|/log8]
//   intB[/gG]/float-scale | intB[/gG]/integer-scale            (weights)
//
// B is 2..8. On the wire G is 32, 64 or 128 and defaults to 128 for B >= 5 and to 32 for B <= 4,
// scale kind affine. A weight or activation format without G is per channel (weights) or per token
// (activations). Bits are packed with nothing padded, b/8 byte per value (FlashCommunication V2,
// bit splitting).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace foretoken {

struct Format {
  enum class Kind : std::uint8_t { fp32, bf16, fp16, fp8, fp4, integer };
  enum class Scale : std::uint8_t {
    none,           // the format carries no scale of its own
    affine,         // bf16 scale and bf16 zero point, 4 bytes a group
    symmetric,      // fp16 scale, 2 bytes a group
    log8,           // int8 logarithm of the scale and a byte zero code, 2 bytes a group
    float_scale,    // weights: one float scale a group or channel (2 bytes)
    integer_scale,  // weights: one integer scale a group (2 bytes), Integer Scale (arXiv
                    // 2405.14597)
  };
  Kind kind = Kind::bf16;
  int bits = 16;
  int group = 0;  // values that share a scale; 0 = per channel, token or tensor
  bool spike = false;
  Scale scale = Scale::none;

  bool operator==(const Format&) const = default;
  bool quantised() const { return kind == Kind::integer || kind == Kind::fp8 || kind == Kind::fp4; }

  // Bytes one value takes on average, scales and spikes included: w = b/8 + m/g
  // (shared design notes, table "Bytes per value"). Per-channel scales count as none.
  double bytes_per_value() const;
  // Metadata bytes of one group: scale, zero point, spikes and their positions.
  int metadata_bytes() const;
};

inline constexpr Format kFp32{Format::Kind::fp32, 32, 0, false, Format::Scale::none};
inline constexpr Format kBf16{Format::Kind::bf16, 16, 0, false, Format::Scale::none};
inline constexpr Format kFp16{Format::Kind::fp16, 16, 0, false, Format::Scale::none};
inline constexpr Format kFp8{Format::Kind::fp8, 8, 0, false, Format::Scale::none};
inline constexpr Format kInt8{Format::Kind::integer, 8, 0, false, Format::Scale::float_scale};

std::string to_string(const Format& format);  // the grammar above, defaults left out

enum class FormatRole { weights, activations, kv_cache, wire };

// Throws InputError, without a mark, with the remedy: `unknown format "int9" (2..8 bits; try
// int8)`.
Format parse_format(std::string_view text, FormatRole role);

// What codec work does: pack own values, sum what arrived and pack the sum, unpack the result.
enum class CodecPhase : std::uint8_t { quantise, reduce, dequantise };
inline constexpr std::array<std::string_view, 3> kCodecPhaseNames{"quantise", "reduce",
                                                                  "dequantise"};

}  // namespace foretoken
