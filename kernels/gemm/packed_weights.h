// Weights in the layouts that the CPU kernels read.
//
// n is padded to 32 and k to whole tiles and groups, with zeros. A tile holds 16 channels and 64
// bytes of k per channel once expanded, which is one AMX tile and also sixteen 512-bit rows of VNNI
// quads or bf16 pairs. Tiles of one block of 16 channels follow each other along k, so that one
// matrix-vector product reads memory in one straight line; blocks follow along n.
//
//   int8     k tile 64, 1024 B: byte [quad 16][channel 16][4] = w[channel][4 quad + j]
//   int4     k tile 64,  512 B: byte [row 8][channel 16][4]; low nibble = quad `row`, high nibble =
//   quad
//            `row` + 8, two's complement
//   bf16     k tile 32, 1024 B: element [pair 16][channel 16][2]
//   fp8      k tile 32,  512 B: the same with bytes
//   intB/16  k tile 32, 64 B bytes: u = w + 2^(B-1) split, lowest bits first, into planes of 4, 2
//   and 1
//            bits (8 = 4+4, 6 = 4+2, 5 = 4+1, 3 = 2+1); below 8, as the wire codec does. A plane
//            of p bits is 16-bit words [q < p][lane 32], lane = 2 channel + parity of k; field j of
//            a word, p bits wide, belongs to pair row j p + q.
//
// Scales stand apart as [block of 16 channels][group][16].
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/gemm/descriptor.h"
#include "kernels/gemm/page_buffer.h"
#include "kernels/gemm/quantize.h"

namespace foretoken::kernels {

inline constexpr int kTileChannels = 16;
inline constexpr int kPanelChannels = 32;  // channels that a kernel works on at once
inline constexpr int kTileBytes = 1024;    // of an expanded tile

// Widths of the planes of a B-bit weight, lowest bits first, zero-terminated.
constexpr std::array<int, 3> weight_planes(int bits) {
  switch (bits) {
    case 2:
      return {2, 0, 0};
    case 3:
      return {2, 1, 0};
    case 4:
      return {4, 0, 0};
    case 5:
      return {4, 1, 0};
    case 6:
      return {4, 2, 0};
    default:
      return {4, 4, 0};
  }
}

struct PackedWeights {
  GemmFormat format;
  std::int64_t n = 0, k = 0;
  std::int64_t blocks = 0;       // of 16 channels, an even number
  std::int64_t k_tiles = 0;      // of 64 values (int8 activations) or 32
  std::int64_t tile_bytes = 0;   // packed
  std::int64_t group_tiles = 0;  // k tiles that share a scale; k_tiles when ungrouped
  PageBuffer data;
  PageBuffer scales;          // float [blocks][groups][16]
  PageBuffer integer_scales;  // int32, the same shape, for ScaleKind::group_integer
  int alpha_log2 = 0;         // of the integer scales
  int k_splits = 1;           // runs of groups that need a 32-bit sum of their own
  std::int64_t groups_per_split = 0;

  int tile_k() const { return format.integer_math() ? 64 : 32; }
  std::int64_t groups() const { return group_tiles == 0 ? 0 : k_tiles / group_tiles; }
  std::int64_t block_bytes() const { return k_tiles * tile_bytes; }
};

// `format` is one of the integer formats and agrees with the weights' bits and group.
PackedWeights pack_weights(const QuantizedWeights& weights, const GemmFormat& format);
PackedWeights pack_bf16_weights(std::span<const Bf16> weights, std::int64_t n, std::int64_t k);
PackedWeights pack_fp8_weights(const Fp8Matrix& weights);

// Rounds fp32 weights to `format` and packs them.
PackedWeights pack_from_fp32(std::span<const float> weights, std::int64_t n, std::int64_t k,
                             const GemmFormat& format, bool search_clipping = false);

// For timing: the next bytes of somebody's memory taken for packed weights and their scales,
// whatever they mean. Kernels take as long as on real ones as long as the bytes are no denormals.
// `memory` is 64-byte aligned and holds arbitrary_weight_bytes.
std::size_t arbitrary_weight_bytes(const GemmFormat& format, std::int64_t n, std::int64_t k);
PackedWeights arbitrary_weights(const GemmFormat& format, std::int64_t n, std::int64_t k,
                                std::uint8_t* memory);

}  // namespace foretoken::kernels
