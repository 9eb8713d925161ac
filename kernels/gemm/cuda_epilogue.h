// How sums become outputs, for every CUDA GEMM of ours.
#pragma once

#include <cstdint>

#include "kernels/gemm/cuda_gemm.h"
#include "kernels/gemm/device_code.h"

namespace foretoken::kernels {

// 1.5 x 2^23: an integer below 2^22 in magnitude added to this number's bit pattern is the pattern
// of the number plus the integer, so one subtraction converts it, at the full rate of FADD; I2F
// runs at an eighth of it. A group's sum is at most 16 x 113,792 < 2^21.
inline constexpr std::int32_t kMagicBits = 0x4B400000;
inline constexpr float kMagic = 12582912.0F;

inline constexpr int kResultPitch = kCudaTileChannels + 4;  // of a token in shared memory, words

// Of a kind: bf16 activations; sums that are scaled in floats group by group.
template <CudaGemmKind Kind>
inline constexpr bool kWeightOnly = cuda_weight_only(Kind);
template <CudaGemmKind Kind>
inline constexpr bool kFloatGroups = kWeightOnly<Kind> || Kind == CudaGemmKind::w4a8_group_float;

// The conversion that every path ends with, split k included.
template <CudaGemmKind Kind>
FT_DEVICE void store_result(const CudaGemmArgs& args, std::int64_t token, std::int64_t n,
                            float sum) {
  float value = sum;
  if constexpr (Kind == CudaGemmKind::w8a8 || Kind == CudaGemmKind::w4a8) {
    value = value * args.scales[n];
  } else if constexpr (Kind == CudaGemmKind::w4a8_group_integer) {
    value = value * args.inverse_alpha;
  }
  if constexpr (!kWeightOnly<Kind>) {
    value = value * args.token_scales[token];
  }
  const std::int64_t at = token * args.n + n;
  if (args.bf16_out) {
    static_cast<std::uint16_t*>(args.out)[at] = bf16_bits(value);
  } else {
    static_cast<float*>(args.out)[at] = value;
  }
}

// A block's results, 32-bit patterns [token][kResultPitch] in shared memory, to the output or, of a
// split GEMM, to the workspace. Neighbouring threads write neighbouring channels of one token.
template <CudaGemmKind Kind, int TileTokens, int Threads, typename Machine>
FT_DEVICE void write_tile(Machine& gpu, const CudaGemmArgs& args) {
  const int channel = gpu.thread() % kCudaTileChannels;
  const std::int64_t n = gpu.block_y() * kCudaTileChannels + channel;
  if (n >= args.n) {
    return;
  }
  for (int row = gpu.thread() / kCudaTileChannels; row < TileTokens;
       row += Threads / kCudaTileChannels) {
    const std::int64_t token = gpu.block_x() * TileTokens + row;
    if (token >= args.m) {
      return;
    }
    const auto bits = gpu.template load_shared<std::int32_t>((row * kResultPitch + channel) * 4);
    if (args.k_splits > 1) {
      static_cast<std::int32_t*>(args.workspace)[(gpu.block_z() * args.m + token) * args.n + n] =
          bits;
    } else {
      const float sum = kFloatGroups<Kind> ? bits_as<float>(bits) : static_cast<float>(bits);
      store_result<Kind>(args, token, n, sum);
    }
  }
}

// One output of a split GEMM: partial sums added in the order of k, integers in 64 bits.
template <CudaGemmKind Kind>
FT_DEVICE void finish_split_output(const CudaGemmArgs& args, std::int64_t at) {
  const auto* const partial = static_cast<const std::int32_t*>(args.workspace) + at;
  const std::int64_t step = args.m * args.n;
  if constexpr (kFloatGroups<Kind>) {
    float sum = 0;
    for (int split = 0; split < args.k_splits; ++split) {
      sum += bits_as<float>(partial[split * step]);
    }
    store_result<Kind>(args, at / args.n, at % args.n, sum);
  } else {
    std::int64_t sum = 0;
    for (int split = 0; split < args.k_splits; ++split) {
      sum += partial[split * step];
    }
    store_result<Kind>(args, at / args.n, at % args.n, static_cast<float>(sum));
  }
}

}  // namespace foretoken::kernels
