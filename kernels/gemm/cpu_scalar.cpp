// Plain C++ over the packed layouts: the fallback for any x86-64 and the first thing that the
// vector versions are compared with.
#include <cmath>

#include "kernels/base/float_types.h"
#include "kernels/gemm/cpu_kernels.h"
#include "kernels/gemm/packed_weights.h"

namespace foretoken::kernels {
namespace {

constexpr int kQuads = 16;  // of four k values in a tile
constexpr int kPairs = 16;  // of two k values in a tile of 16-bit weights

int int8_weight(const std::uint8_t* tile, int quad, int channel, int j) {
  return static_cast<std::int8_t>(tile[quad * 64 + channel * 4 + j]);
}

int nibble_weight(const std::uint8_t* tile, int quad, int channel, int j) {
  const int byte = tile[quad % 8 * 64 + channel * 4 + j];
  const int nibble = quad < 8 ? byte & 15 : byte >> 4;
  return (nibble ^ 8) - 8;
}

// Dot product of one token and one channel over tiles [first, last).
std::int32_t int8_dot(const Int8Task& task, const std::int8_t* a, const std::uint8_t* b,
                      int channel, std::int64_t first, std::int64_t last) {
  const int tile_bytes = task.nibbles ? kTileBytes / 2 : kTileBytes;
  std::int32_t sum = 0;
  for (std::int64_t tile = first; tile < last; ++tile) {
    for (int quad = 0; quad < kQuads; ++quad) {
      for (int j = 0; j < 4; ++j) {
        const std::uint8_t* const at = b + tile * tile_bytes;
        const int w =
            task.nibbles ? nibble_weight(at, quad, channel, j) : int8_weight(at, quad, channel, j);
        sum += a[tile * 64 + quad * 4 + j] * w;
      }
    }
  }
  return sum;
}

void int8_block(const Int8Task& task) {
  for (int row = 0; row < task.rows; ++row) {
    const std::int8_t* const a = task.a + row * task.a_stride;
    for (int channel = 0; channel < kBlockChannels; ++channel) {
      const int block = channel / kTileChannels, lane = channel % kTileChannels;
      const std::uint8_t* const b = task.b + block * task.b_stride;
      const std::int64_t scale_base = block * task.scale_stride + lane;
      std::int32_t sum = 0;
      float float_sum = 0;
      for (std::int64_t g = 0; g * task.group_tiles < task.k_tiles; ++g) {
        const std::int32_t dot =
            int8_dot(task, a, b, lane, g * task.group_tiles, (g + 1) * task.group_tiles);
        const std::int64_t scale = scale_base + g * kTileChannels;
        if (task.accumulate == Accumulate::float_groups) {
          float_sum = std::fma(static_cast<float>(dot),
                               static_cast<const float*>(task.scales)[scale], float_sum);
        } else {
          sum += task.accumulate == Accumulate::plain
                     ? dot
                     : dot * static_cast<const std::int32_t*>(task.scales)[scale];
        }
      }
      if (task.accumulate == Accumulate::float_groups) {
        static_cast<float*>(task.c)[row * kBlockChannels + channel] = float_sum;
      } else {
        static_cast<std::int32_t*>(task.c)[row * kBlockChannels + channel] = sum;
      }
    }
  }
}

float float_dot(const float* a, const std::uint16_t* b, int channel, std::int64_t first,
                std::int64_t last) {
  float sum = 0;
  for (std::int64_t tile = first; tile < last; ++tile) {
    for (int pair = 0; pair < kPairs; ++pair) {
      for (int j = 0; j < 2; ++j) {
        const Bf16 w{b[tile * 512 + pair * 32 + channel * 2 + j]};
        sum += a[tile * 32 + pair * 2 + j] * to_float(w);
      }
    }
  }
  return sum;
}

void float_block(const FloatTask& task) {
  for (int row = 0; row < task.rows; ++row) {
    const auto* const a = reinterpret_cast<const float*>(static_cast<const std::uint8_t*>(task.a) +
                                                         row * task.a_stride);
    for (int channel = 0; channel < kBlockChannels; ++channel) {
      const int block = channel / kTileChannels, lane = channel % kTileChannels;
      float sum = 0;
      for (std::int64_t g = 0; g * task.group_tiles < task.k_tiles; ++g) {
        const float dot = float_dot(a, task.b + block * task.b_stride, lane, g * task.group_tiles,
                                    (g + 1) * task.group_tiles);
        sum = task.scales == nullptr
                  ? sum + dot
                  : std::fma(dot,
                             task.scales[block * task.scale_stride + g * kTileChannels + lane] *
                                 (task.a_scales == nullptr
                                      ? 1.0F
                                      : task.a_scales[row * task.a_scale_stride + g]),
                             sum);
      }
      task.c[row * kBlockChannels + channel] = sum;
    }
  }
}

void expand_nibbles(const ExpandTask& task, bool shifted) {
  auto* const out = static_cast<std::int8_t*>(task.out);
  for (std::int64_t tile = 0; tile < task.tiles; ++tile) {
    for (int i = 0; i < kTileBytes; ++i) {
      const int w = nibble_weight(task.packed + tile * (kTileBytes / 2), i / 64, i % 64 / 4, i % 4);
      out[tile * kTileBytes + i] = static_cast<std::int8_t>(shifted ? 16 * w : w);
    }
  }
}

void expand_integers(const ExpandTask& task) {
  auto* const out = static_cast<std::uint16_t*>(task.out);
  for (std::int64_t tile = 0; tile < task.tiles; ++tile) {
    const float* const scales =
        task.scales == nullptr ? nullptr : task.scales + tile / task.group_tiles * kTileChannels;
    for (int i = 0; i < 512; ++i) {
      const int pair = i / 32, lane = i % 32;
      const auto* words =
          reinterpret_cast<const std::uint16_t*>(task.packed + tile * 64 * task.bits);
      int value = 0, shift = 0;
      for (const int width : weight_planes(task.bits)) {
        if (width == 0) {
          break;
        }
        const int word = words[pair % width * 32 + lane];
        value |= ((word >> (pair / width * width)) & ((1 << width) - 1)) << shift;
        words += width * 32;
        shift += width;
      }
      const auto w = static_cast<float>(value - (1 << (task.bits - 1)));
      out[tile * 512 + i] = to_bf16(scales == nullptr ? w : w * scales[lane / 2]).bits;
    }
  }
}

void expand_fp8(const ExpandTask& task) {
  auto* const out = static_cast<std::uint16_t*>(task.out);
  for (std::int64_t i = 0; i < task.tiles * 512; ++i) {
    out[i] = to_bf16(to_float(Fp8E4m3{task.packed[i]})).bits;
  }
}

void finish(const FinishTask& task) {
  for (int row = 0; row < task.rows; ++row) {
    const float token = task.token_scales == nullptr ? 1.0F : task.token_scales[row];
    for (int channel = 0; channel < task.channels; ++channel) {
      const int i = row * kBlockChannels + channel;
      const float sum = task.is_float
                            ? static_cast<const float*>(task.c)[i]
                            : static_cast<float>(static_cast<const std::int32_t*>(task.c)[i]);
      const float value = sum * task.channel_scales[channel] * token;
      const std::int64_t at = row * task.out_stride + channel;
      if (task.bf16) {
        static_cast<Bf16*>(task.out)[at] = to_bf16(value);
      } else {
        static_cast<float*>(task.out)[at] = value;
      }
    }
  }
}

}  // namespace

const CpuKernels& scalar_kernels() {
  static constexpr CpuKernels kTable{CpuIsa::scalar,
                                     "scalar",
                                     ActivationLayout::rows,
                                     ActivationLayout::rows,
                                     1,
                                     7,
                                     kNeverExpand,
                                     int8_block,
                                     float_block,
                                     expand_nibbles,
                                     expand_integers,
                                     expand_fp8,
                                     finish};
  return kTable;
}

}  // namespace foretoken::kernels
