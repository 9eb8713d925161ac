// The inner loops of the codec, one table per instruction set. A tile is one block of a grouped
// format (at most 1,024 values, whole groups) or as many values of an ungrouped one: small enough
// to stay in the first-level cache between the steps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/codec.h"
#include "kernels/codec/layout.h"
#include "kernels/codec/wire_format.h"

namespace foretoken::kernels {

struct TileKernels {
  const char* name;

  // Elements to fp32 and back, rounding to nearest even. fp32 is not passed here.
  void (*load)(ValueType type, const void* in, std::size_t n, float* out);
  void (*store)(ValueType type, const float* in, std::size_t n, void* out);
  void (*add)(const float* in, std::size_t n, float* sum);
  void (*encode_fp8)(const float* in, std::size_t n, std::uint8_t* out);
  void (*decode_fp8)(const std::uint8_t* in, std::size_t n, float* out);

  // Writes one code byte per value to `codes`, and scales, spikes and positions into `block`. With
  // 8-bit codes `codes` may be `block` itself.
  void (*quantise)(const WireFormat& format, const BlockLayout& layout, ConstValues values,
                   std::uint8_t* codes, std::uint8_t* block);
  // The inverse; writes layout.values values, or adds them (fp32 only).
  void (*dequantise)(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                     const std::uint8_t* block, MutableValues out, bool accumulate);

  // Code bytes to bit planes and back; n is a multiple of 32. `bits` is not 8.
  void (*pack_planes)(int bits, const std::uint8_t* codes, std::size_t n, std::uint8_t* out);
  void (*unpack_planes)(int bits, const std::uint8_t* in, std::size_t n, std::uint8_t* codes);
};

const TileKernels& reference_tile_kernels();
const TileKernels& avx2_tile_kernels();         // call only where the processor has AVX2
const TileKernels& avx512_tile_kernels();       // AVX-512 F, BW, VL, DQ and VBMI
const TileKernels& avx512_bf16_tile_kernels();  // and BF16

}  // namespace foretoken::kernels
