// Quantisation of activations on a GPU, written against the machine of cuda_gemm_body.h, so that a
// test runs the same code on an emulated block. Bytes and scales equal quantize_rows and
// quantize_rows_fp8 of kernels/layer: scale = largest magnitude / 127 or 448, values divided by it
// and rounded to nearest even.
//
// A group of values that share a scale belongs to a warp (short groups, eight to a block) or to a
// whole block (a token's row). Two passes over its values: the second one finds them in the cache.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/base/float_types.h"
#include "kernels/gemm/device_code.h"

namespace foretoken::kernels {

inline constexpr int kQuantizeThreads = 256;
inline constexpr std::int64_t kLongestWarpGroup = 512;
inline constexpr int kQuantizeShared = kQuantizeThreads / 32 * 4;  // bytes

struct CudaQuantizeArgs {
  const std::uint16_t* x = nullptr;  // bf16 [rows][width]
  std::int64_t rows = 0, width = 0;
  std::int64_t group = 0;  // values that share a scale, from the start of each row; the last may be
                           // shorter; `width` for one scale per token
  bool fp8 = false;        // e4m3, else int8 within +-127
  std::uint8_t* out = nullptr;  // [rows][stride], zeros behind width
  std::int64_t stride = 0;
  float* scales = nullptr;  // [rows][groups]
  // Set for one scale for all: the largest magnitude, and scales[0] is the scale.
  const float* largest = nullptr;

  FT_HOST_DEVICE std::int64_t groups() const { return (width + group - 1) / group; }
};

// Whether four values can be read and written at once.
constexpr bool quantize_in_fours(const CudaQuantizeArgs& args) {
  return args.width % 4 == 0 && args.group % 4 == 0 && args.stride % 4 == 0;
}
constexpr bool quantize_by_warps(const CudaQuantizeArgs& args) {
  return args.group <= kLongestWarpGroup;
}
constexpr std::int64_t quantize_blocks(const CudaQuantizeArgs& args) {
  const std::int64_t groups = args.rows * ((args.width + args.group - 1) / args.group);
  return quantize_by_warps(args) ? (groups + kQuantizeThreads / 32 - 1) / (kQuantizeThreads / 32)
                                 : groups;
}

template <int Threads, int Step, typename Machine>
class QuantizeBlock {
 public:
  FT_DEVICE QuantizeBlock(Machine& gpu, const CudaQuantizeArgs& args) : gpu_(gpu), args_(args) {}

  FT_DEVICE void run() {
    const std::int64_t groups = args_.groups();
    const std::int64_t item =
        gpu_.block_x() * (kQuantizeThreads / Threads) + gpu_.thread() / Threads;
    if (item >= args_.rows * groups) {
      return;  // whole warps: no barrier follows where a block has several groups
    }
    const std::int64_t row = item / groups, first = item % groups * args_.group;
    const std::int64_t left = args_.width - first;
    const std::int64_t count = left < args_.group ? left : args_.group;
    const std::uint16_t* const x = args_.x + row * args_.width + first;
    const float limit = args_.fp8 ? kFp8Max : 127.0F;
    const float largest = args_.largest != nullptr ? *args_.largest : largest_of(x, count);
    const float scale = fmaxf(largest / limit, kSmallest);
    if (index() == 0 && (args_.largest == nullptr || item == 0)) {
      args_.scales[item] = scale;
    }
    std::uint8_t* const out = args_.out + row * args_.stride + first;
    for (std::int64_t i = std::int64_t{index()} * Step; i < count;
         i += std::int64_t{Threads} * Step) {
      float values[Step];
      read(x + i, values);
      write(out + i, values, scale);
    }
    if (left == count) {  // the row's last group
      for (std::int64_t i = args_.width + index(); i < args_.stride; i += Threads) {
        args_.out[row * args_.stride + i] = 0;
      }
    }
  }

  // Of this thread's share of all values, for one scale for all.
  FT_DEVICE float largest_of_share(std::int64_t threads) const {
    float largest = 0;
    const std::int64_t at = gpu_.block_x() * kQuantizeThreads + gpu_.thread();
    for (std::int64_t i = at; i < args_.rows * args_.width; i += threads) {
      largest = fmaxf(largest, fabsf(widen(args_.x[i])));
    }
    return largest;
  }

 private:
  static constexpr float kFp8Max = 448.0F, kSmallest = 1.17549435e-38F;

  FT_DEVICE int index() const { return gpu_.thread() % Threads; }
  FT_DEVICE static float widen(std::uint16_t bits) {
    return bits_as<float>(static_cast<std::uint32_t>(bits) << 16);
  }

  FT_DEVICE static void read(const std::uint16_t* x, float (&values)[Step]) {
    if constexpr (Step == 4) {
      const auto two = *reinterpret_cast<const Words2*>(x);
      FT_UNROLL
      for (int i = 0; i < 4; ++i) {
        values[i] = widen(static_cast<std::uint16_t>(two.w[i / 2] >> (16 * (i % 2))));
      }
    } else {
      values[0] = widen(x[0]);
    }
  }

  FT_DEVICE float largest_of(const std::uint16_t* x, std::int64_t count) {
    float largest = 0;
    for (std::int64_t i = std::int64_t{index()} * Step; i < count;
         i += std::int64_t{Threads} * Step) {
      float values[Step];
      read(x + i, values);
      FT_UNROLL
      for (int j = 0; j < Step; ++j) {
        largest = fmaxf(largest, fabsf(values[j]));
      }
    }
    FT_UNROLL
    for (int other = 16; other > 0; other /= 2) {
      largest = fmaxf(largest, gpu_.shuffle_xor(largest, other));
    }
    if constexpr (Threads > 32) {
      if (gpu_.thread() % 32 == 0) {
        gpu_.store_shared(gpu_.thread() / 32 * 4, largest);
      }
      gpu_.sync();
      for (int warp = 0; warp < Threads / 32; ++warp) {
        largest = fmaxf(largest, gpu_.template load_shared<float>(warp * 4));
      }
    }
    return largest;
  }

  FT_DEVICE void write(std::uint8_t* out, const float (&values)[Step], float scale) const {
    std::uint32_t bytes = 0;
    FT_UNROLL
    for (int i = 0; i < Step; ++i) {
      bytes |= static_cast<std::uint32_t>(level(values[i] / scale)) << (8 * i);
    }
    if constexpr (Step == 4) {
      *reinterpret_cast<std::uint32_t*>(out) = bytes;
    } else {
      *out = static_cast<std::uint8_t>(bytes);
    }
  }
  FT_DEVICE std::uint8_t level(float value) const {
    if (args_.fp8) {
      return to_fp8_e4m3(value).bits;
    }
    constexpr float kRound = 0x1.8p23F;  // adding it and taking it off rounds to nearest even
    const float within = fminf(fmaxf(value, -127.0F), 127.0F);
    return static_cast<std::uint8_t>(static_cast<std::int32_t>((within + kRound) - kRound));
  }

  Machine& gpu_;
  const CudaQuantizeArgs& args_;
};

}  // namespace foretoken::kernels
