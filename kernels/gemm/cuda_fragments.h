// From packed weights in shared memory to the A fragments of mma.sync and wgmma, which are the
// same: warp w of a warpgroup holds rows 16 w to 16 w + 15 of wgmma's m64nNk32 and m64nNk16 as a
// lone warp holds those of m16n8k32 and m16n8k16 (PTX ISA, "Register Fragments" of both). One
// 16-byte load is one to four fragments; see cuda_gemm.h for the layout.
#pragma once

#include <cstdint>

#include "kernels/gemm/cuda_gemm.h"
#include "kernels/gemm/device_code.h"

namespace foretoken::kernels {

// A lane's weights of a block of 16 channels: all of a k tile (bf16 activations) or a chunk of it.
template <CudaGemmKind Kind>
class WeightFragments {
 public:
  // The fragment for 32-byte step `step` (0 to 3, in order) of the activations' row. `block`:
  // offset of the block's k tile in shared memory.
  template <typename Machine>
  FT_DEVICE void read(Machine& gpu, int block, int step, std::uint32_t (&a)[4]) {
    const int lane = gpu.thread() % 32;
    if constexpr (Kind == CudaGemmKind::w8a8) {
      load_words<4>(gpu, block + lane * 16 + step * 512, low_);
    } else if constexpr (kInt8) {
      if (step % 2 == 0) {
        load_words<4>(gpu, block + lane * 16 + step / 2 * 512, low_);
      }
    } else if (step == 0) {
      load_words<kLowPlane>(gpu, block + lane * 4 * kLowPlane, low_);
      load_words<kHighPlane>(gpu, block + 128 * kLowPlane + lane * 4 * kHighPlane, high_);
    }
    FT_UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (Kind == CudaGemmKind::w8a8) {
        a[i] = low_.w[i];
      } else if constexpr (kInt8) {
        a[i] = (step % 2 == 0 ? low_.w[i] << 4 : low_.w[i]) & 0xf0f0f0f0U;
      } else {
        a[i] = bf16_pair(gpu, step, i);
      }
    }
  }

 private:
  static constexpr bool kInt8 = !cuda_weight_only(Kind);
  static constexpr int kBits = cuda_weight_bits(Kind);
  static constexpr int kLowPlane = kBits >= 4 ? 4 : 2, kHighPlane = kBits - kLowPlane;

  template <int Count, typename Machine>
  FT_DEVICE static void load_words(Machine& gpu, int at, Words4& words) {
    if constexpr (Count == 4) {
      words = gpu.template load_shared<Words4>(at);
    } else if constexpr (Count == 2) {
      const auto two = gpu.template load_shared<Words2>(at);
      words.w[0] = two.w[0];
      words.w[1] = two.w[1];
    } else if constexpr (Count == 1) {
      words.w[0] = gpu.template load_shared<std::uint32_t>(at);
    }
  }

  // Two neighbouring values' fields of `Width` bits, 16 bits apart.
  template <int Width>
  FT_DEVICE static std::uint32_t fields(const Words4& words, int step, int i) {
    return (words.w[step * Width / 4] >> (Width * (step % (4 / Width) * 4 + i))) &
           (0x00010001U * ((1U << Width) - 1));
  }

  // u = w + 2^(bits - 1) to the bf16 pair w, exactly: 0x4300 | u is 128 + u for u below 128, and
  // one packed multiply-add takes the offset off. Of 8 bits each half goes that way, and a third
  // one puts them together.
  template <typename Machine>
  FT_DEVICE std::uint32_t bf16_pair(Machine& gpu, int step, int i) const {
    constexpr std::uint32_t k128 = 0x43004300U, kOne = 0x3f803f80U, k16 = 0x41804180U;
    constexpr std::uint32_t kMinus128 = 0xc300c300U, kMinus136 = 0xc308c308U;
    const std::uint32_t low = fields<kLowPlane>(low_, step, i);
    if constexpr (kBits == 8) {
      const std::uint32_t high = fields<kHighPlane>(high_, step, i);
      return gpu.multiply_add_bf16(gpu.multiply_add_bf16(high | k128, kOne, kMinus136), k16,
                                   gpu.multiply_add_bf16(low | k128, kOne, kMinus128));
    } else {
      std::uint32_t u = low;
      if constexpr (kHighPlane > 0) {
        u |= fields<kHighPlane>(high_, step, i) << kLowPlane;
      }
      return gpu.multiply_add_bf16(u | k128, kOne, kMinus128 | 0x00010001U * (1U << (kBits - 1)));
    }
  }

  Words4 low_ = {}, high_ = {};
};

}  // namespace foretoken::kernels
