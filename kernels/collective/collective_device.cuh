// Compressed collectives on GPUs as stages of work between barriers. A stage is cut into tiles of
// 1,024 values, one warp at a time; tile t of a chunk belongs to the owner that holds part t of the
// chunk's tiles, so results do not depend on how many owners or chunks there are.
//
//   two-step       pack | sum own slice of all ranks, pack again | unpack
//   hierarchical   pack | sum own slice of the own group, pack | sum the halves of both groups,
//   pack
//                  | unpack: only the third stage reads across the groups
//   all-to-all     pack the slices of the others | unpack what they packed for this rank
//
// Micro-chunks: at tick t chunk c is in stage t - c, so that the links of different stages are busy
// together. One barrier follows each tick.
#pragma once

#include <algorithm>
#include <numeric>

#include "kernels/base/error.h"
#include "kernels/codec/codec_device.cuh"
#include "kernels/collective/collective.h"
#include "kernels/collective/cuda_collective.h"

namespace foretoken::kernels::device {

enum class Stage : std::uint8_t { pack, reduce, cross, unpack, scatter, gather };

struct Plan {
  DeviceFormat first;
  DeviceFormat second;
  std::size_t values;  // of the full vector; of one slice for all-to-all
  std::size_t stride;  // all-to-all: bytes between the messages to two ranks
  int ranks;
  int owners;                // ranks that share the slices: all, or one group
  int order[kCudaMaxRanks];  // the ranks, group by group
  Stage stages[4];
  int stage_count;
  int chunks;
  Phases phases;

  __host__ __device__ int ticks() const { return chunks + stage_count - 1; }
  __host__ __device__ bool all_to_all() const { return stages[0] == Stage::scatter; }
  // The last tick needs none, but for all-to-all: there the next run packs where peers still read.
  __host__ __device__ int barriers() const {
    return !phases.wire ? 0 : all_to_all() ? ticks() : ticks() - 1;
  }
};

// ---- the plan -----------------------------------------------------------------------------------

inline void order_groups(const CollectiveDesc& desc, int ranks, Plan& plan) {
  std::iota(plan.order, plan.order + ranks, 0);
  if (!desc.group_a.empty() || !desc.group_b.empty()) {
    std::vector<int> all = desc.group_a;
    all.insert(all.end(), desc.group_b.begin(), desc.group_b.end());
    const bool fits = desc.group_a.size() == desc.group_b.size() &&
                      std::is_permutation(all.begin(), all.end(), plan.order, plan.order + ranks);
    if (!fits) {
      throw KernelError(
          "hierarchical all-reduce needs two groups of equal size that hold each rank");
    }
    std::copy(all.begin(), all.end(), plan.order);
  }
  plan.owners = ranks / 2;
}

// Throws KernelError where CUDA has no such collective.
inline Plan make_plan(const CollectiveDesc& desc, int ranks) {
  if (ranks < 1 || ranks > kCudaMaxRanks || desc.values == 0 || desc.chunks == 0) {
    throw KernelError("a collective on CUDA needs 1 to 16 ranks, a value and a chunk");
  }
  Plan plan{};
  plan.first = device_format(desc.first);
  plan.second = device_format(desc.second);
  plan.values = desc.values;
  plan.ranks = plan.owners = ranks;
  plan.chunks = static_cast<int>(desc.chunks);
  plan.phases = desc.phases;
  std::iota(plan.order, plan.order + ranks, 0);
  const auto stages = [&](std::initializer_list<Stage> list) {
    std::copy(list.begin(), list.end(), plan.stages);
    plan.stage_count = static_cast<int>(list.size());
  };
  if (desc.operation == Operation::all_to_all) {
    if (desc.values % static_cast<std::size_t>(ranks) != 0) {
      throw KernelError("all-to-all: the values are not a multiple of the ranks");
    }
    plan.values = desc.values / static_cast<std::size_t>(ranks);
    plan.stride = (packed_bytes(desc.first, plan.values) + 15) / 16 * 16;
    plan.second = plan.first;
    stages({Stage::scatter, Stage::gather});
  } else if (desc.operation == Operation::all_reduce && desc.algorithm == Algorithm::two_step) {
    stages({Stage::pack, Stage::reduce, Stage::unpack});
  } else if (desc.operation == Operation::all_reduce && desc.algorithm == Algorithm::hierarchical) {
    if (ranks % 2 != 0) {
      throw KernelError("hierarchical all-reduce on CUDA needs an even number of ranks");
    }
    order_groups(desc, ranks, plan);
    stages({Stage::pack, Stage::reduce, Stage::cross, Stage::unpack});
  } else {
    throw KernelError("CUDA has the all-reduces two_step and hierarchical, and all_to_all");
  }
  return plan;
}

// ---- which tiles --------------------------------------------------------------------------------

struct TileRange {
  std::size_t begin;
  std::size_t end;
};

__device__ __forceinline__ std::size_t part_size(TileRange whole, int parts) {
  const auto count = static_cast<std::size_t>(parts);
  return (whole.end - whole.begin + count - 1) / count;
}

__device__ __forceinline__ TileRange part_of(TileRange whole, int parts, int index) {
  const std::size_t each = part_size(whole, parts);
  const std::size_t begin = whole.begin + each * static_cast<std::size_t>(index);
  return {begin < whole.end ? begin : whole.end,
          begin + each < whole.end ? begin + each : whole.end};
}

__device__ __forceinline__ TileRange chunk_of(const Plan& p, int chunk) {
  const std::size_t tiles = (p.values + kBlockValues - 1) / kBlockValues;
  return part_of({0, tiles}, p.chunks, chunk);
}

// ---- one rank's view ----------------------------------------------------------------------------

// What a rank reads of others, in shared memory: indexed by a loop, in registers it would end on
// the stack.
struct Sources {
  Inputs group;   // messages of the own group, in its order
  Inputs halves;  // this slice's sums of group a and of group b
};

struct Worker {
  int rank;
  int index;           // in its group
  int group_begin;     // of its group in Plan::order
  std::size_t worker;  // this warp among the rank's `workers`
  std::size_t workers;
  std::uint8_t* room;  // shared memory for one packed tile of either format
};

__device__ __forceinline__ int position_of(const Plan& p, int rank) {
  int position = 0;
  for (int i = 0; i < p.ranks; ++i) {
    position = p.order[i] == rank ? i : position;
  }
  return position;
}

__device__ __forceinline__ Worker worker_of(const Plan& p, int rank, std::size_t worker,
                                            std::size_t workers, std::uint8_t* room) {
  const int position = position_of(p, rank);
  const int index = position % p.owners;
  return {rank, index, position - index, worker, workers, room};
}

__device__ __forceinline__ void find_sources(const Plan& p, const CudaRank* ranks, int rank,
                                             Sources& s) {
  const int position = position_of(p, rank);
  const int index = position % p.owners;
  s.group.count = p.owners;
  for (int i = 0; i < p.owners; ++i) {
    s.group.message[i] = ranks[p.order[position - index + i]].messages;
  }
  s.halves.count = 2;
  s.halves.message[0] = ranks[p.order[index]].halves;
  s.halves.message[1] = ranks[p.order[(p.owners + index) % p.ranks]].halves;
}

template <ValueType Type>
constexpr std::size_t kElement = Type == ValueType::fp32 ? 4 : 2;

template <ValueType Type>
__device__ __forceinline__ void unpack_from(const DeviceFormat& f, const std::uint8_t* message,
                                            std::size_t n, std::size_t tile, void* out,
                                            std::uint8_t* room) {
  Inputs one;
  one.count = 1;
  one.message[0] = message;
  warp_unpack<Type>(f, one, n, tile, out, room);
}

// ---- stages -------------------------------------------------------------------------------------

template <ValueType Type>
__device__ __forceinline__ void pack_stage(const Plan& p, const CudaRank* ranks, const Worker& w,
                                           TileRange chunk) {
  for (std::size_t tile = chunk.begin + w.worker; tile < chunk.end; tile += w.workers) {
    warp_pack<Type>(p.first, ranks[w.rank].in, p.values, tile, ranks[w.rank].messages, w.room);
    __syncwarp();
  }
}

__device__ __forceinline__ void reduce_stage(const Plan& p, const Inputs& inputs,
                                             const DeviceFormat& to, std::uint8_t* out,
                                             const Worker& w, TileRange chunk) {
  const TileRange slice = part_of(chunk, p.owners, w.index);
  for (std::size_t tile = slice.begin + w.worker; tile < slice.end; tile += w.workers) {
    warp_reduce_pack(p.first, inputs, p.values, to, tile, out, w.room);
    __syncwarp();
  }
}

template <ValueType Type>
__device__ __forceinline__ void unpack_stage(const Plan& p, const CudaRank* ranks, const Worker& w,
                                             TileRange chunk) {
  const std::size_t each = part_size(chunk, p.owners);
  for (std::size_t tile = chunk.begin + w.worker; tile < chunk.end; tile += w.workers) {
    const int owner = p.order[w.group_begin + static_cast<int>((tile - chunk.begin) / each)];
    unpack_from<Type>(p.second, ranks[owner].sums, p.values, tile, ranks[w.rank].out, w.room);
    __syncwarp();
  }
}

// Work item i of all-to-all: tile i % tiles of the message between this rank and its neighbour
// 1 + i / tiles further on, so that all ranks drive different links first.
struct Pair {
  int peer;
  std::size_t tile;
};

__device__ __forceinline__ Pair pair_of_item(const Plan& p, int rank, TileRange chunk,
                                             std::size_t item) {
  const std::size_t tiles = chunk.end - chunk.begin;
  const int distance = 1 + static_cast<int>(item / tiles);
  return {(rank + distance) % p.ranks, chunk.begin + item % tiles};
}

template <ValueType Type>
__device__ __forceinline__ void scatter_stage(const Plan& p, const CudaRank* ranks, const Worker& w,
                                              TileRange chunk) {
  const CudaRank& own = ranks[w.rank];
  const std::size_t items = (chunk.end - chunk.begin) * static_cast<std::size_t>(p.ranks - 1);
  for (std::size_t item = w.worker; item < items; item += w.workers) {
    const Pair pair = pair_of_item(p, w.rank, chunk, item);
    const auto peer = static_cast<std::size_t>(pair.peer);
    const auto* in = static_cast<const std::uint8_t*>(own.in) + peer * p.values * kElement<Type>;
    warp_pack<Type>(p.first, in, p.values, pair.tile, own.messages + peer * p.stride, w.room);
    __syncwarp();
  }
}

// What stays is copied as it is.
template <ValueType Type>
__device__ __forceinline__ void keep_own(const Plan& p, const CudaRank& own, const Worker& w,
                                         TileRange chunk) {
  const std::size_t slice = static_cast<std::size_t>(w.rank) * p.values * kElement<Type>;
  for (std::size_t tile = chunk.begin + w.worker; tile < chunk.end; tile += w.workers) {
    const std::size_t at = slice + tile * kBlockValues * kElement<Type>;
    move_tile(static_cast<const std::uint8_t*>(own.in) + at,
              static_cast<std::uint8_t*>(own.out) + at,
              tile_count(tile, p.values) * static_cast<int>(kElement<Type>));
  }
}

template <ValueType Type>
__device__ __forceinline__ void gather_stage(const Plan& p, const CudaRank* ranks, const Worker& w,
                                             TileRange chunk) {
  const CudaRank& own = ranks[w.rank];
  keep_own<Type>(p, own, w, chunk);
  const std::size_t items = (chunk.end - chunk.begin) * static_cast<std::size_t>(p.ranks - 1);
  for (std::size_t item = w.worker; item < items; item += w.workers) {
    const Pair pair = pair_of_item(p, w.rank, chunk, item);
    const auto peer = static_cast<std::size_t>(pair.peer);
    auto* out = static_cast<std::uint8_t*>(own.out) + peer * p.values * kElement<Type>;
    unpack_from<Type>(p.first, ranks[peer].messages + static_cast<std::size_t>(w.rank) * p.stride,
                      p.values, pair.tile, out, w.room);
    __syncwarp();
  }
}

// The two sums are one piece of code: written twice it would take more registers than there are.
__device__ __forceinline__ void sum_stage(const Plan& p, const CudaRank* ranks, const Sources& s,
                                          const Worker& w, Stage stage, TileRange chunk) {
  const bool to_halves = stage == Stage::reduce && p.owners != p.ranks;
  reduce_stage(p, stage == Stage::cross ? s.halves : s.group, to_halves ? p.first : p.second,
               to_halves ? ranks[w.rank].halves : ranks[w.rank].sums, w, chunk);
}

template <ValueType Type, bool AllToAll>
__device__ __forceinline__ void run_stage(const Plan& p, const CudaRank* ranks, const Sources& s,
                                          const Worker& w, Stage stage, int chunk) {
  const TileRange tiles = chunk_of(p, chunk);
  const bool first = stage == p.stages[0];
  const bool last = stage == p.stages[p.stage_count - 1];
  if (first && p.phases.quantise) {
    if constexpr (AllToAll) {
      scatter_stage<Type>(p, ranks, w, tiles);
    } else {
      pack_stage<Type>(p, ranks, w, tiles);
    }
  }
  if constexpr (!AllToAll) {
    if (!first && !last && p.phases.reduce) {
      sum_stage(p, ranks, s, w, stage, tiles);
    }
  }
  if (last && p.phases.dequantise) {
    if constexpr (AllToAll) {
      gather_stage<Type>(p, ranks, w, tiles);
    } else {
      unpack_stage<Type>(p, ranks, w, tiles);
    }
  }
}

// All stages of one tick. Warps begin at different stages, so that the links of all are busy.
template <ValueType Type, bool AllToAll>
__device__ __forceinline__ void run_tick(const Plan& p, const CudaRank* ranks, const Sources& s,
                                         const Worker& w, int tick) {
  const int begin = static_cast<int>(w.worker % static_cast<std::size_t>(p.stage_count));
#pragma unroll 1
  for (int i = 0; i < p.stage_count; ++i) {
    const int stage = (begin + i) % p.stage_count;
    const int chunk = tick - stage;
    if (chunk >= 0 && chunk < p.chunks) {
      run_stage<Type, AllToAll>(p, ranks, s, w, p.stages[stage], chunk);
    }
  }
}

}  // namespace foretoken::kernels::device
