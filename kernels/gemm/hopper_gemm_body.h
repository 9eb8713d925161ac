// The GEMM kernel for Hopper: the weights are wgmma's register operand (64 channels a warpgroup),
// the tokens its N, read from shared memory. One thread copies k tiles into a ring of stages, two
// warpgroups multiply them; mbarriers hand the stages over. Like cuda_gemm_body.h it is written
// against a small machine, so that it runs on a GPU (hopper_lane.cuh, one PTX instruction per
// method) and in a test (tests/kernels/gemm/emulated_hopper.h). The machine offers
//
//   thread(), block_x(), block_y(), block_z()
//   cluster_size(), cluster_rank()              1 or 2 blocks, neighbours along y
//   sync_cluster(), sync_consumers(), sync_warp()   of all, of a block's first 256 threads, of 32
//   keep_registers<N>(), take_registers<N>()    a thread of a warpgroup has N from here on
//   init_barrier(offset, arrivals)              mbarrier in shared memory, visible after
//   publish_barriers()                          and the next sync_cluster()
//   expect(barrier, bytes)                      arrive, and the phase lasts until `bytes` have come
//   arrive(barrier, rank)                       at the barrier of that block of the cluster
//   wait_phase(barrier, parity)                 until the phase of that parity has ended
//   copy_bulk(offset, source, bytes, barrier)   global -> shared, multiples of 16
//   copy_tokens(offset, byte, token, barrier)   a tile of the activations' tensor map: 128 bytes of
//                                               TileTokens / cluster_size() rows, 128-byte swizzle,
//                                               zeros outside; to all blocks of the cluster
//   load_shared<T>(offset), store_shared(offset, value)
//   open_multiply(sums)                         wgmma.fence: registers are ready
//   multiply<N>(sums, a, offset, accumulate)    wgmma m64nNk32 s8 (int sums) or m64nNk16 bf16; B is
//                                               K-major at `offset` with the 128-byte swizzle
//   commit_multiply(), finish_multiply(sums)    wgmma.commit_group, wait_group 0
//   multiply_add_bf16(a, b, c)
//
// Between open_multiply and finish_multiply neither sums nor a may be touched.
//
// Two blocks of a cluster work on the same tokens and neighbouring channels; each brings half of
// the tokens for both, so that the second-level cache is read once. A stage is free when both have
// read it.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/gemm/cuda_epilogue.h"
#include "kernels/gemm/cuda_fragments.h"

namespace foretoken::kernels {

template <CudaGemmKind Kind, int TileTokens, typename Machine>
class HopperGemmBlock {
 public:
  FT_DEVICE HopperGemmBlock(Machine& gpu, const CudaGemmArgs& args)
      : gpu_(gpu), args_(args), first_(gpu.block_z() * args.tiles_per_split) {
    const std::int64_t left = args.k_tiles - first_;
    tiles_ = static_cast<int>(left < args.tiles_per_split ? left : args.tiles_per_split);
  }

  FT_DEVICE void run() {
    if (gpu_.thread() == 0) {
      for (int stage = 0; stage < kStages; ++stage) {
        gpu_.init_barrier(full(stage), 1);
        gpu_.init_barrier(empty(stage), kHopperConsumers / 32 * gpu_.cluster_size());
      }
      gpu_.publish_barriers();
    }
    gpu_.sync_cluster();
    // A block starts with as many registers for every thread; those that do not multiply need few.
    if (gpu_.thread() >= kHopperConsumers) {
      gpu_.template keep_registers<24>();
      if (gpu_.thread() == kHopperConsumers) {
        produce();
      }
    } else {
      gpu_.template take_registers<kRegisters>();
      consume();
    }
  }

 private:
  static constexpr bool kInt8 = !kWeightOnly<Kind>;
  static constexpr bool kIntegerGroups = Kind == CudaGemmKind::w4a8_group_integer;
  static constexpr bool kGroups = kFloatGroups<Kind> || kIntegerGroups;
  static constexpr int kTilesPerGroup = 128 / cuda_tile_k(Kind);
  static constexpr int kWeightBytes = kCudaTileChannels * cuda_weight_row_bytes(Kind);
  static constexpr int kStageBytes = hopper_stage_bytes(Kind, TileTokens);
  static constexpr int kStages = hopper_stages(Kind, TileTokens);
  static constexpr int kScaleBytes = kCudaTileChannels * 4;
  static constexpr int kRegisters = hopper_blocks_per_multiprocessor(TileTokens) == 2 ? 104 : 240;
  static constexpr int kSums = TileTokens / 2;  // of a thread
  static_assert(kWeightBytes % 1024 == 0 && kStageBytes % 1024 == 0, "the swizzle's period");
  static_assert(kStages >= 2 && TileTokens * kResultPitch * 4 <= kStages * kStageBytes);

  using Sum = std::conditional_t<kInt8, std::int32_t, float>;
  using Total = std::conditional_t<kIntegerGroups, std::int32_t, float>;
  using Scale = Total;

  // A stage of the ring and how often the ring has gone round.
  struct Place {
    int stage = 0;
    int round = 0;
    FT_DEVICE void advance() {
      if (++stage == kStages) {
        stage = 0;
        ++round;
      }
    }
  };

  FT_DEVICE int lane() const { return gpu_.thread() % 32; }
  FT_DEVICE int warp() const { return gpu_.thread() / 32; }
  FT_DEVICE static int scales_of(int stage) { return kStages * kStageBytes + stage * kScaleBytes; }
  FT_DEVICE static int full(int stage) {
    return kStages * (kStageBytes + kScaleBytes) + stage * 16;
  }
  FT_DEVICE static int empty(int stage) { return full(stage) + 8; }
  FT_DEVICE bool ends_group(int tile) const {
    return (first_ + tile + 1) % kTilesPerGroup == 0 || tile + 1 == tiles_;
  }

  FT_DEVICE void produce() {
    const int share = TileTokens / gpu_.cluster_size(), row = gpu_.cluster_rank() * share;
    Place at;
    for (int tile = 0; tile < tiles_; ++tile) {
      if (at.round > 0) {
        gpu_.wait_phase(empty(at.stage), (at.round - 1) % 2);
      }
      const std::int64_t k_tile = first_ + tile;
      const int base = at.stage * kStageBytes, barrier = full(at.stage);
      const bool scales = kGroups && ends_group(tile);
      gpu_.expect(barrier, kStageBytes + (scales ? kScaleBytes : 0));
      gpu_.copy_bulk(base, args_.weights + (gpu_.block_y() * args_.k_tiles + k_tile) * kWeightBytes,
                     kWeightBytes, barrier);
      gpu_.copy_tokens(base + kWeightBytes + row * kCudaRowBytes,
                       static_cast<int>(k_tile * kCudaRowBytes),
                       static_cast<int>(gpu_.block_x() * TileTokens) + row, barrier);
      if (scales) {
        const std::int64_t from =
            k_tile / kTilesPerGroup * args_.padded_n + gpu_.block_y() * kCudaTileChannels;
        if constexpr (kIntegerGroups) {
          gpu_.copy_bulk(scales_of(at.stage), args_.integer_scales + from, kScaleBytes, barrier);
        } else {
          gpu_.copy_bulk(scales_of(at.stage), args_.scales + from, kScaleBytes, barrier);
        }
      }
      at.advance();
    }
  }

  // While the tensor cores multiply one tile, the warps unpack the weights of the next one.
  FT_DEVICE void consume() {
    FT_UNROLL
    for (int i = 0; i < kSums; ++i) {
      sums_[i] = 0;
      if constexpr (kGroups) {
        totals_[i] = 0;
      }
    }
    Place at;
    read_weights(at);
    bool accumulate = false;
    for (int tile = 0; tile < tiles_; ++tile) {
      FT_UNROLL
      for (int i = 0; i < 16; ++i) {
        weights_[i / 4][i % 4] = next_[i / 4][i % 4];
      }
      multiply(at.stage * kStageBytes + kWeightBytes, accumulate);
      Place after = at;
      after.advance();
      if (tile + 1 < tiles_) {
        read_weights(after);
      }
      const bool folds = kGroups && ends_group(tile);
      Scale scales[2] = {};
      FT_UNROLL
      for (int half = 0; half < 2; ++half) {
        if (folds) {
          scales[half] =
              gpu_.template load_shared<Scale>(scales_of(at.stage) + channel_of(half) * 4);
        }
      }
      gpu_.finish_multiply(sums_);
      gpu_.sync_warp();  // all lanes have read their weights and scales
      // Nobody waits for a stage that is not filled again: its block may be gone.
      if (tile + kStages < tiles_ && lane() < gpu_.cluster_size()) {
        gpu_.arrive(empty(at.stage), lane());
      }
      if constexpr (kGroups) {
        if (folds) {
          fold(scales);
        }
      }
      accumulate = !folds;
      at = after;
    }
    gpu_.sync_consumers();  // every stage has been read
    write();
  }

  FT_DEVICE void read_weights(const Place& place) {
    gpu_.wait_phase(full(place.stage), place.round % 2);
    WeightFragments<Kind> fragments;
    FT_UNROLL
    for (int step = 0; step < 4; ++step) {
      fragments.read(gpu_, place.stage * kStageBytes + warp() * (kWeightBytes / 8), step,
                     next_[step]);
    }
  }

  FT_DEVICE void multiply(int tokens, bool accumulate) {
    gpu_.open_multiply(sums_);
    FT_UNROLL
    for (int step = 0; step < 4; ++step) {
      gpu_.template multiply<TileTokens>(sums_, weights_[step], tokens + step * 32,
                                         accumulate || step > 0);
    }
    gpu_.commit_multiply();
  }

  // Channel of sums 4 j and 4 j + 1 (half = 0) or 4 j + 2 and 4 j + 3 (half = 1).
  FT_DEVICE int channel_of(int half) const { return warp() * 16 + half * 8 + lane() / 4; }

  // total += sum * scale, in integers or in floats.
  FT_DEVICE void fold(const Scale (&scales)[2]) {
    FT_UNROLL
    for (int i = 0; i < kSums; ++i) {
      add_scaled(i, scales[i / 2 % 2]);
    }
  }

  FT_DEVICE void add_scaled(int i, Scale scale) {
    if constexpr (kIntegerGroups) {
      totals_[i] += (sums_[i] >> 4) * scale;  // 16 w: exact
    } else if constexpr (kInt8) {
      totals_[i] = fmaf(bits_as<float>(sums_[i] + kMagicBits) - kMagic, scale, totals_[i]);
    } else {
      totals_[i] = fmaf(sums_[i], scale, totals_[i]);
    }
  }

  FT_DEVICE std::int32_t result(int i) const {
    if constexpr (kGroups) {
      return bits_as<std::int32_t>(totals_[i]);
    } else {
      return sums_[i];
    }
  }

  // Through shared memory, so that neighbouring threads write neighbouring channels of one token.
  FT_DEVICE void write() {
    const std::int64_t n = gpu_.block_y() * kCudaTileChannels;
    const float channels[2] = {OutputScale<Kind>::of_channel(args_, n + channel_of(0)),
                               OutputScale<Kind>::of_channel(args_, n + channel_of(1))};
    FT_UNROLL
    for (int column = 0; column < TileTokens / 8; ++column) {
      FT_UNROLL
      for (int odd = 0; odd < 2; ++odd) {
        const int token = column * 8 + lane() % 4 * 2 + odd;
        const float scale = OutputScale<Kind>::of_token(args_, gpu_.block_x() * TileTokens + token);
        FT_UNROLL
        for (int half = 0; half < 2; ++half) {
          gpu_.store_shared(
              (token * kResultPitch + channel_of(half)) * 4,
              tile_entry<Kind>(args_, result(column * 4 + half * 2 + odd), channels[half], scale));
        }
      }
    }
    gpu_.sync_consumers();
    TileWriter<TileTokens, kHopperConsumers, Machine>(gpu_, args_).run();
  }

  Machine& gpu_;
  const CudaGemmArgs& args_;
  std::int64_t first_;  // k tile
  int tiles_;
  std::uint32_t weights_[4][4], next_[4][4];  // A fragments of the 32-byte steps of a k tile
  Sum sums_[kSums];
  Total totals_[kGroups ? kSums : 1];
};

}  // namespace foretoken::kernels
