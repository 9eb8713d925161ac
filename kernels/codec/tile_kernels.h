// The inner loops of the codec, one table per instruction set. A tile is one block of a grouped
// format (at most 1,024 values, whole groups) or as many values of an ungrouped one: small enough
// to stay in the first-level cache between the steps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/force_inline.h"
#include "kernels/codec/codec.h"
#include "kernels/codec/layout.h"
#include "kernels/codec/wire_format.h"

namespace foretoken::kernels {

// Consecutive tiles of one layout that are quantised together: at most kTilesAtOnce.
inline constexpr std::size_t kTilesAtOnce = 4;
struct TileRun {
  std::size_t tiles;
  std::uint8_t* first_codes;
  std::size_t code_stride;  // bytes from the codes of one tile to those of the next
  std::uint8_t* first_block;
  std::size_t block_bytes;

  std::uint8_t* codes(std::size_t tile) const { return first_codes + tile * code_stride; }
  std::uint8_t* block(std::size_t tile) const { return first_block + tile * block_bytes; }
};

struct TileKernels {
  const char* name;

  // Elements to fp32 and back, rounding to nearest even. fp32 is not passed here.
  void (*load)(ValueType type, const void* in, std::size_t n, float* out);
  void (*store)(ValueType type, const float* in, std::size_t n, void* out);
  // Adds the inputs, fp32 at any address, value by value in their order; `out` may be one of them.
  void (*sum)(const std::uint8_t* const* inputs, std::size_t count, std::size_t n,
              std::uint8_t* out);
  void (*encode_fp8)(const float* in, std::size_t n, std::uint8_t* out);
  void (*decode_fp8)(const std::uint8_t* in, std::size_t n, float* out);

  // Writes one code byte per value to the run's codes, and scales, spikes and positions into its
  // blocks. With 8-bit codes the two may be the same.
  void (*quantise)(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
                   ConstValues values);
  // The inverse; writes layout.values values, or adds them (fp32 only).
  void (*dequantise)(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                     const std::uint8_t* block, MutableValues out, bool accumulate);

  // Code bytes to bit planes and back; n is a multiple of 32. `bits` is not 8.
  void (*pack_planes)(int bits, const std::uint8_t* codes, std::size_t n, std::uint8_t* out);
  void (*unpack_planes)(int bits, const std::uint8_t* in, std::size_t n, std::uint8_t* codes);
};

// Value i of TileKernels::sum.
FT_INLINE void sum_one(const std::uint8_t* const* inputs, std::size_t count, std::size_t i,
                       std::uint8_t* out) {
  float total = 0;
  __builtin_memcpy(&total, inputs[0] + 4 * i, 4);
  for (std::size_t k = 1; k < count; ++k) {
    float x = 0;
    __builtin_memcpy(&x, inputs[k] + 4 * i, 4);
    total += x;
  }
  __builtin_memcpy(out + 4 * i, &total, 4);
}

// The values of one tile of a run.
inline ConstValues values_of(ConstValues run, const BlockLayout& layout, std::size_t tile) {
  return {static_cast<const std::uint8_t*>(run.data) + tile * layout.values * value_bytes(run.type),
          run.type};
}

const TileKernels& reference_tile_kernels();
const TileKernels& avx2_tile_kernels();         // call only where the processor has AVX2
const TileKernels& avx512_tile_kernels();       // AVX-512 F, BW, VL, DQ and VBMI
const TileKernels& avx512_bf16_tile_kernels();  // and BF16

}  // namespace foretoken::kernels
