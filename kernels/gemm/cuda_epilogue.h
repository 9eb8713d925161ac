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

// From a sum to a value: times the channel's scale, times the token's, as far as the kind has them.
template <CudaGemmKind Kind>
class OutputScale {
 public:
  // REQUIRES: n < padded_n.
  FT_DEVICE static float of_channel(const CudaGemmArgs& args, std::int64_t n) {
    if constexpr (Kind == CudaGemmKind::w8a8 || Kind == CudaGemmKind::w4a8) {
      return args.scales[n];
    } else {
      return args.inverse_alpha;
    }
  }
  FT_DEVICE static float of_token(const CudaGemmArgs& args, std::int64_t token) {
    return !kWeightOnly<Kind> && token < args.m ? args.token_scales[token] : 0.0F;
  }
  FT_DEVICE static float apply(float sum, float channel, float token) {
    float value = sum;
    if constexpr (!kFloatGroups<Kind>) {
      value = value * channel;
    }
    if constexpr (!kWeightOnly<Kind>) {
      value = value * token;
    }
    return value;
  }
};

FT_DEVICE void store_value(const CudaGemmArgs& args, std::int64_t at, float value) {
  if (args.bf16_out) {
    static_cast<std::uint16_t*>(args.out)[at] = bf16_bits(value);
  } else {
    static_cast<float*>(args.out)[at] = value;
  }
}

// What a thread writes to shared memory for a sum, of which it has the 32-bit pattern: the output's
// fp32 value, or of a split GEMM the sum itself.
template <CudaGemmKind Kind>
FT_DEVICE std::int32_t tile_entry(const CudaGemmArgs& args, std::int32_t bits, float channel,
                                  float token) {
  if (args.k_splits > 1) {
    return bits;
  }
  const float sum = kFloatGroups<Kind> ? bits_as<float>(bits) : static_cast<float>(bits);
  return bits_as<std::int32_t>(OutputScale<Kind>::apply(sum, channel, token));
}

// A block's entries, [token][kResultPitch] words in shared memory, to the output or the workspace:
// 16 bytes a thread where rows are whole multiples of that.
template <int TileTokens, int Threads, typename Machine>
class TileWriter {
 public:
  FT_DEVICE TileWriter(Machine& gpu, const CudaGemmArgs& args)
      : gpu_(gpu),
        args_(args),
        first_token_(gpu.block_x() * TileTokens),
        first_n_(gpu.block_y() * kCudaTileChannels) {}

  FT_DEVICE void run() {
    const bool split = args_.k_splits > 1;
    void* const to =
        split ? static_cast<std::int32_t*>(args_.workspace) + gpu_.block_z() * args_.m * args_.n
              : args_.out;
    const bool narrow = args_.bf16_out && !split;
    const bool aligned = reinterpret_cast<std::uintptr_t>(to) % 16 == 0;
    if (narrow && aligned && args_.n % 8 == 0) {
      rows<8>([&](int at, std::int64_t out) {
        const auto low = gpu_.template load_shared<Words4>(at);
        const auto high = gpu_.template load_shared<Words4>(at + 16);
        const Words4 packed = {pair(low.w[0], low.w[1]), pair(low.w[2], low.w[3]),
                               pair(high.w[0], high.w[1]), pair(high.w[2], high.w[3])};
        *reinterpret_cast<Words4*>(static_cast<std::uint16_t*>(to) + out) = packed;
      });
    } else if (!narrow && aligned && args_.n % 4 == 0) {
      rows<4>([&](int at, std::int64_t out) {
        *reinterpret_cast<Words4*>(static_cast<std::uint32_t*>(to) + out) =
            gpu_.template load_shared<Words4>(at);
      });
    } else {
      rows<1>([&](int at, std::int64_t out) {
        const auto bits = gpu_.template load_shared<std::uint32_t>(at);
        if (narrow) {
          static_cast<std::uint16_t*>(to)[out] = bf16_bits(bits_as<float>(bits));
        } else {
          static_cast<std::uint32_t*>(to)[out] = bits;
        }
      });
    }
  }

 private:
  FT_DEVICE static std::uint32_t pair(std::uint32_t low, std::uint32_t high) {
    return std::uint32_t{bf16_bits(bits_as<float>(low))} |
           std::uint32_t{bf16_bits(bits_as<float>(high))} << 16;
  }

  // `write(offset in shared memory, index of the output)` for every `Channels` of a token.
  template <int Channels, typename Write>
  FT_DEVICE void rows(const Write& write) {
    constexpr int kAcross = kCudaTileChannels / Channels;
    const int channel = gpu_.thread() % kAcross * Channels;
    if (first_n_ + channel >= args_.n) {
      return;
    }
    for (int row = gpu_.thread() / kAcross; row < TileTokens; row += Threads / kAcross) {
      if (first_token_ + row >= args_.m) {
        return;
      }
      write((row * kResultPitch + channel) * 4,
            (first_token_ + row) * args_.n + first_n_ + channel);
    }
  }

  Machine& gpu_;
  const CudaGemmArgs& args_;
  std::int64_t first_token_, first_n_;
};

// One output of a split GEMM: partial sums added in the order of k, integers in 64 bits.
template <CudaGemmKind Kind>
FT_DEVICE void finish_split_output(const CudaGemmArgs& args, std::int64_t at) {
  const auto* const partial = static_cast<const std::int32_t*>(args.workspace) + at;
  const std::int64_t step = args.m * args.n;
  const float channel = OutputScale<Kind>::of_channel(args, at % args.n);
  const float token = OutputScale<Kind>::of_token(args, at / args.n);
  if constexpr (kFloatGroups<Kind>) {
    float sum = 0;
    for (int split = 0; split < args.k_splits; ++split) {
      sum += bits_as<float>(partial[split * step]);
    }
    store_value(args, at, OutputScale<Kind>::apply(sum, channel, token));
  } else {
    std::int64_t sum = 0;
    for (int split = 0; split < args.k_splits; ++split) {
      sum += partial[split * step];
    }
    store_value(args, at, OutputScale<Kind>::apply(static_cast<float>(sum), channel, token));
  }
}

}  // namespace foretoken::kernels
