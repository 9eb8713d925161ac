// The GEMM kernel's code, written against a small machine so that it runs in two places: on a GPU,
// where every method of the machine is one PTX instruction (cuda_gemm.cu), and in a test, where 128
// or 256 host fibers play the threads of a block (tests/kernels/gemm/emulated_gpu.h). The machine
// offers
//
//   thread(), block_x(), block_y(), block_z()
//   sync()                                        barrier of the block
//   copy_async(offset, source, bytes)             16 bytes global -> shared, zeros beyond `bytes`
//   commit(), wait<N>()                           groups of copies; wait until at most N are in
//   flight load_shared<T>(offset), store_shared(offset, value) load_matrices(offset, r[4])
//   ldmatrix.x4: per lane the address of one 16-byte row multiply_s8(c[4], a[4], b0, b1)
//   mma.m16n8k32 s8 multiply_bf16(c[4], a[4], b0, b1)             mma.m16n8k16 bf16
//   multiply_add_bf16(a, b, c)                    fma.rn.bf16x2
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/gemm/cuda_epilogue.h"
#include "kernels/gemm/cuda_fragments.h"

namespace foretoken::kernels {

template <CudaGemmKind Kind, int TileTokens, typename Machine>
class CudaGemmBlock {
 public:
  FT_DEVICE CudaGemmBlock(Machine& gpu, const CudaGemmArgs& args) : gpu_(gpu), args_(args) {}

  FT_DEVICE void run() {
    const std::int64_t first = gpu_.block_z() * args_.tiles_per_split;
    const std::int64_t left = args_.k_tiles - first;
    const int tiles = static_cast<int>(left < args_.tiles_per_split ? left : args_.tiles_per_split);
    clear();
    FT_UNROLL
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (stage < tiles) {
        load(first + stage, stage);
      }
      gpu_.commit();
    }
    for (int tile = 0; tile < tiles; ++tile) {
      gpu_.template wait<kStages - 2>();
      gpu_.sync();  // the tile has arrived for all, and all have left the stage that is filled next
      if (tile + kStages - 1 < tiles) {
        load(first + tile + kStages - 1, (tile + kStages - 1) % kStages);
      }
      gpu_.commit();
      multiply(tile % kStages);
      fold(first + tile, tile + 1 == tiles);
    }
    gpu_.template wait<0>();
    gpu_.sync();
    write();
  }

 private:
  static constexpr bool kInt8 = !kWeightOnly<Kind>;
  static constexpr bool kIntegerGroups = Kind == CudaGemmKind::w4a8_group_integer;
  static constexpr bool kMagicStart = Kind == CudaGemmKind::w4a8_group_float;
  static constexpr bool kGroups = kFloatGroups<Kind> || kIntegerGroups;
  static constexpr int kTilesPerGroup = 128 / cuda_tile_k(Kind);
  static constexpr int kThreads = cuda_threads(TileTokens);
  static constexpr int kStages = cuda_stages(TileTokens);
  static constexpr int kTokenWarps = kThreads / 128;  // 4 warps along channels
  static constexpr int kWarpTokens = TileTokens / kTokenWarps;
  static constexpr int kColumns = kWarpTokens / 8;  // mma columns of a warp
  static constexpr int kWeightBytes = kCudaTileChannels * cuda_weight_row_bytes(Kind);
  static constexpr int kTokenBytes = TileTokens * kCudaRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kTokenBytes;

  FT_DEVICE int lane() const { return gpu_.thread() % 32; }
  FT_DEVICE int channel_warp() const { return gpu_.thread() / 32 % 4; }
  FT_DEVICE int token_warp() const { return gpu_.thread() / 128; }

  // Grouped kernels keep the sums of one group apart from the scaled total.
  FT_DEVICE void clear() {
    FT_UNROLL
    for (int block = 0; block < 2; ++block) {
      FT_UNROLL
      for (int column = 0; column < kColumns; ++column) {
        FT_UNROLL
        for (int i = 0; i < 4; ++i) {
          sums_[block][column][i] = kMagicStart ? kMagicBits : 0;
          if constexpr (kGroups) {
            totals_[block][column][i] = 0;
          }
        }
      }
    }
  }

  // 16-byte piece `chunk` of a token's row goes to chunk ^ (row % 8): the eight rows that one
  // ldmatrix reads at the same k then fall into different banks.
  FT_DEVICE static int token_offset(int row, int chunk) {
    return kWeightBytes + row * kCudaRowBytes + ((chunk ^ (row & 7)) * 16);
  }

  FT_DEVICE void load(std::int64_t tile, int stage) {
    const int base = stage * kStageBytes;
    const std::uint8_t* const weights =
        args_.weights + (gpu_.block_y() * args_.k_tiles + tile) * kWeightBytes;
    FT_UNROLL
    for (int at = 0; at < kWeightBytes; at += kThreads * 16) {
      const int offset = at + gpu_.thread() * 16;
      if (kWeightBytes % (kThreads * 16) == 0 || offset < kWeightBytes) {
        gpu_.copy_async(base + offset, weights + offset, 16);
      }
    }
    const auto* const activations = static_cast<const std::uint8_t*>(args_.activations);
    FT_UNROLL
    for (int at = 0; at < kTokenBytes / 16; at += kThreads) {
      const int piece = at + gpu_.thread(), row = piece / 8, chunk = piece % 8;
      const std::int64_t token = gpu_.block_x() * TileTokens + row;
      const bool inside = token < args_.m;
      gpu_.copy_async(base + token_offset(row, chunk),
                      activations + (inside ? token : 0) * args_.activation_stride +
                          tile * kCudaRowBytes + chunk * 16,
                      inside ? 16 : 0);
    }
  }

  FT_DEVICE void multiply(int stage) {
    const int base = stage * kStageBytes;
    // Lanes 0-7 address tokens 0-7 at the first 16 bytes of the step, 8-15 the same tokens at the
    // second, 16-31 tokens 8-15.
    const int row = token_warp() * kWarpTokens + lane() / 16 * 8 + lane() % 8;
    constexpr int kBlockBytes = kWeightBytes / 8;
    WeightFragments<Kind> weights[2];
    FT_UNROLL
    for (int step = 0; step < 4; ++step) {
      std::uint32_t a[2][4];
      FT_UNROLL
      for (int block = 0; block < 2; ++block) {
        weights[block].read(gpu_, base + (channel_warp() * 2 + block) * kBlockBytes, step,
                            a[block]);
      }
      FT_UNROLL
      for (int column = 0; column < kColumns; column += 2) {
        std::uint32_t b[4];
        gpu_.load_matrices(base + token_offset(row + column * 8, step * 2 + lane() / 8 % 2), b);
        FT_UNROLL
        for (int block = 0; block < 2; ++block) {
          if constexpr (kInt8) {
            gpu_.multiply_s8(sums_[block][column], a[block], b[0], b[1]);
            gpu_.multiply_s8(sums_[block][column + 1], a[block], b[2], b[3]);
          } else {
            gpu_.multiply_bf16(sums_[block][column], a[block], b[0], b[1]);
            gpu_.multiply_bf16(sums_[block][column + 1], a[block], b[2], b[3]);
          }
        }
      }
    }
  }

  // Channel of sums 0 and 1 (half = 0) or 2 and 3 (half = 1) of a block.
  FT_DEVICE int channel_of(int block, int half) const {
    return channel_warp() * 32 + block * 16 + half * 8 + lane() / 4;
  }

  // At the end of a group: total += sum * scale, in integers or in floats.
  FT_DEVICE void fold(std::int64_t tile, bool last) {
    if constexpr (kGroups) {
      if ((tile + 1) % kTilesPerGroup != 0 && !last) {
        return;
      }
      const std::int64_t group = tile / kTilesPerGroup;
      FT_UNROLL
      for (int block = 0; block < 2; ++block) {
        FT_UNROLL
        for (int half = 0; half < 2; ++half) {
          const std::int64_t at =
              group * args_.padded_n + gpu_.block_y() * kCudaTileChannels + channel_of(block, half);
          if constexpr (kIntegerGroups) {
            fold_integers(block, half, args_.integer_scales[at]);
          } else {
            fold_floats(block, half, args_.scales[at]);
          }
        }
      }
    }
  }

  FT_DEVICE void fold_integers(int block, int half, std::int32_t scale) {
    FT_UNROLL
    for (int column = 0; column < kColumns; ++column) {
      FT_UNROLL
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        totals_[block][column][i] += (sums_[block][column][i] >> 4) * scale;  // 16 w: exact
        sums_[block][column][i] = 0;
      }
    }
  }

  FT_DEVICE void fold_floats(int block, int half, float scale) {
    FT_UNROLL
    for (int column = 0; column < kColumns; ++column) {
      FT_UNROLL
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        float sum = bits_as<float>(sums_[block][column][i]);
        if constexpr (kMagicStart) {
          sum -= kMagic;
        }
        const float total = bits_as<float>(totals_[block][column][i]);
        totals_[block][column][i] = bits_as<std::int32_t>(fmaf(sum, scale, total));
        sums_[block][column][i] = kMagicStart ? kMagicBits : 0;
      }
    }
  }

  FT_DEVICE std::int32_t result(int block, int column, int i) const {
    if constexpr (kGroups) {
      return totals_[block][column][i];
    } else {
      return sums_[block][column][i];
    }
  }

  // Through shared memory, so that neighbouring threads write neighbouring channels of one token.
  FT_DEVICE void write() {
    const std::int64_t n = gpu_.block_y() * kCudaTileChannels;
    FT_UNROLL
    for (int block = 0; block < 2; ++block) {
      FT_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int channel = channel_of(block, half);
        const float scale = OutputScale<Kind>::of_channel(args_, n + channel);
        FT_UNROLL
        for (int column = 0; column < kColumns; ++column) {
          FT_UNROLL
          for (int odd = 0; odd < 2; ++odd) {
            const int token = token_warp() * kWarpTokens + column * 8 + lane() % 4 * 2 + odd;
            gpu_.store_shared((token * kResultPitch + channel) * 4,
                              tile_entry<Kind>(args_, result(block, column, half * 2 + odd), scale,
                                               OutputScale<Kind>::of_token(
                                                   args_, gpu_.block_x() * TileTokens + token)));
          }
        }
      }
    }
    gpu_.sync();
    TileWriter<TileTokens, kThreads, Machine>(gpu_, args_).run();
  }

  Machine& gpu_;
  const CudaGemmArgs& args_;
  std::int32_t sums_[2][kColumns][4];
  std::int32_t totals_[kGroups ? 2 : 1][kGroups ? kColumns : 1][4];
};

}  // namespace foretoken::kernels
