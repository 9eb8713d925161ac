#include <cooperative_groups.h>

#include <algorithm>

#include "kernels/base/cuda_check.h"
#include "kernels/codec/codec_device.cuh"
#include "kernels/collective/cuda_two_step.h"

namespace foretoken::kernels {
namespace {

using namespace device;

constexpr int kWarpsPerBlock = 8;

struct Arguments {
  CudaRank ranks[kCudaMaxRanks];
  int count;
  int first_rank;
  int blocks_per_rank;
  std::uint32_t runs_before;
  std::uint64_t timeout_ns;
  DeviceFormat first;
  DeviceFormat second;
  std::size_t values;
  Phases phases;
  std::uint32_t* failed;
};

// ---- flags: one PTX instruction each
// ---------------------------------------------------------------

__device__ __forceinline__ void add_release(std::uint32_t* counter) {
  asm volatile("red.release.sys.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

__device__ __forceinline__ std::uint32_t load_acquire(const std::uint32_t* counter) {
  std::uint32_t value = 0;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
  return value;
}

__device__ __forceinline__ std::uint64_t now_ns() {
  std::uint64_t time = 0;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(time));
  return time;
}

// Every block of every rank arrives at its rank's counter; thread r of each block watches rank r.
// Counters only grow: two barriers a run. False on all threads of the block after a time-out.
__device__ bool meet(const Arguments& a, int rank, std::uint32_t barrier) {
  __syncthreads();
  if (threadIdx.x == 0) {
    add_release(a.ranks[rank].arrivals);
  }
  const std::uint32_t target =
      (2 * a.runs_before + barrier) * static_cast<std::uint32_t>(a.blocks_per_rank);
  bool late = false;
  if (static_cast<int>(threadIdx.x) < a.count) {
    const std::uint64_t deadline = now_ns() + a.timeout_ns;
    // The difference is signed so that a counter may wrap.
    while (static_cast<std::int32_t>(load_acquire(a.ranks[threadIdx.x].arrivals) - target) < 0) {
      if (now_ns() > deadline) {
        late = true;
        break;
      }
    }
  }
  const bool any_late = __syncthreads_or(late) != 0;
  if (any_late && threadIdx.x == 0) {
    *a.failed = 1;
  }
  return !any_late;
}

// The tiles of one rank's slice.
struct TileRange {
  std::size_t begin;
  std::size_t end;
};

__device__ __forceinline__ std::size_t tiles_of(std::size_t values) {
  return (values + kBlockValues - 1) / kBlockValues;
}

__device__ __forceinline__ TileRange slice_of(const Arguments& a, int rank) {
  const std::size_t tiles = tiles_of(a.values);
  const auto ranks = static_cast<std::size_t>(a.count);
  const std::size_t each = (tiles + ranks - 1) / ranks;
  const std::size_t begin = each * static_cast<std::size_t>(rank);
  return {begin < tiles ? begin : tiles, begin + each < tiles ? begin + each : tiles};
}

__device__ __forceinline__ int owner_of(const Arguments& a, std::size_t tile) {
  const auto ranks = static_cast<std::size_t>(a.count);
  return static_cast<int>(tile / ((tiles_of(a.values) + ranks - 1) / ranks));
}

template <ValueType Type>
__global__ void __launch_bounds__(32 * kWarpsPerBlock) two_step_kernel(const Arguments a) {
  extern __shared__ uint4 shared[];
  __shared__ Inputs everybody;  // indexed by a loop: in registers it would end on the stack
  if (threadIdx.x == 0) {
    everybody.count = a.count;
  }
  if (static_cast<int>(threadIdx.x) < a.count) {
    everybody.message[threadIdx.x] = a.ranks[threadIdx.x].messages;
  }
  __syncthreads();
  const int rank = a.first_rank + static_cast<int>(blockIdx.x) / a.blocks_per_rank;
  const int block = static_cast<int>(blockIdx.x) % a.blocks_per_rank;
  const int room_bytes =
      a.first.tile_bytes > a.second.tile_bytes ? a.first.tile_bytes : a.second.tile_bytes;
  std::uint8_t* room = reinterpret_cast<std::uint8_t*>(shared) +
                       static_cast<std::size_t>(room_bytes) * (threadIdx.x / 32);
  const auto worker = static_cast<std::size_t>(block) * kWarpsPerBlock + threadIdx.x / 32;
  const std::size_t workers = static_cast<std::size_t>(a.blocks_per_rank) * kWarpsPerBlock;
  const CudaRank own = a.ranks[rank];

  if (a.phases.quantise) {
    for (std::size_t tile = worker; tile < tiles_of(a.values); tile += workers) {
      warp_pack<Type>(a.first, own.in, a.values, tile, own.messages, room);
      __syncwarp();
    }
  }
  if (a.phases.wire && !meet(a, rank, 1)) {
    return;
  }
  if (a.phases.reduce) {
    const TileRange slice = slice_of(a, rank);
    for (std::size_t tile = slice.begin + worker; tile < slice.end; tile += workers) {
      warp_reduce_pack(a.first, everybody, a.values, a.second, tile, own.sums, room);
      __syncwarp();
    }
  }
  if (a.phases.wire && !meet(a, rank, 2)) {
    return;
  }
  if (a.phases.dequantise) {
    for (std::size_t tile = worker; tile < tiles_of(a.values); tile += workers) {
      Inputs inputs;
      inputs.count = 1;
      inputs.message[0] = a.ranks[owner_of(a, tile)].sums;
      warp_unpack<Type>(a.second, inputs, a.values, tile, own.out, room);
      __syncwarp();
    }
  }
}

const void* kernel_for(ValueType type) {
  switch (type) {
    case ValueType::fp32:
      return reinterpret_cast<const void*>(&two_step_kernel<ValueType::fp32>);
    case ValueType::bf16:
      return reinterpret_cast<const void*>(&two_step_kernel<ValueType::bf16>);
    case ValueType::fp16:
      return reinterpret_cast<const void*>(&two_step_kernel<ValueType::fp16>);
  }
  return nullptr;
}

std::size_t shared_bytes(const WireFormat& first, const WireFormat& second) {
  return std::max(packed_bytes(first, kBlockValues), packed_bytes(second, kBlockValues)) *
         kWarpsPerBlock;
}

// Memory of one rank, or of its peers' view: device memory, or pinned host memory that the device
// maps.
class Room {
 public:
  Room(std::size_t bytes, bool pinned) : pinned_(pinned) {
    const std::size_t size = std::max<std::size_t>(bytes, 16);
    if (pinned) {
      FT_CUDA_CHECK(cudaHostAlloc(&data_, size, cudaHostAllocMapped));
    } else {
      FT_CUDA_CHECK(cudaMalloc(&data_, size));
    }
    FT_CUDA_CHECK(cudaMemset(data_, 0, size));
  }
  Room(Room&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), pinned_(other.pinned_) {}
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  Room& operator=(Room&&) = delete;
  ~Room() { pinned_ ? cudaFreeHost(data_) : cudaFree(data_); }

  template <typename T = std::uint8_t>
  T* get() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  bool pinned_;
};

}  // namespace

int cuda_two_step_blocks(int local_ranks, const WireFormat& first, const WireFormat& second) {
  int device = 0;
  int processors = 0;
  int per_processor = 0;
  FT_CUDA_CHECK(cudaGetDevice(&device));
  FT_CUDA_CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  FT_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &per_processor, kernel_for(ValueType::fp32), 32 * kWarpsPerBlock,
      shared_bytes(first, second)));
  return std::max(1, processors * per_processor / local_ranks);
}

void cuda_two_step(const CudaTwoStep& group, const WireFormat& first, const WireFormat& second,
                   ValueType type, std::size_t values, const Phases& phases, std::uint32_t* failed,
                   cudaStream_t stream) {
  const auto count = static_cast<int>(group.ranks.size());
  if (count < 1 || count > kCudaMaxRanks || group.first_rank < 0 || group.local_ranks < 1 ||
      group.first_rank + group.local_ranks > count) {
    throw KernelError("two-step all-reduce on CUDA: 1 to 16 ranks, the local ones among them");
  }
  Arguments a{};
  std::copy(group.ranks.begin(), group.ranks.end(), a.ranks);
  a.count = count;
  a.first_rank = group.first_rank;
  a.blocks_per_rank = group.blocks_per_rank != 0
                          ? group.blocks_per_rank
                          : cuda_two_step_blocks(group.local_ranks, first, second);
  a.runs_before = group.runs_before;
  a.timeout_ns = group.timeout_ns;
  a.first = device_format(first);
  a.second = device_format(second);
  a.values = values;
  a.phases = phases;
  a.failed = failed;
  void* parameters[] = {&a};
  // Cooperative, so that every block of a rank runs at once: blocks wait for each other.
  FT_CUDA_CHECK(cudaLaunchCooperativeKernel(
      kernel_for(type), dim3(static_cast<unsigned>(a.blocks_per_rank * group.local_ranks)),
      dim3(32 * kWarpsPerBlock), parameters, shared_bytes(first, second), stream));
}

struct CudaVirtualRanks::Data {
  WireFormat first;
  WireFormat second;
  ValueType type;
  std::size_t values;
  CudaTwoStep group;
  std::vector<Room> rooms;
};

CudaVirtualRanks::CudaVirtualRanks(int ranks, const WireFormat& first, const WireFormat& second,
                                   ValueType type, std::size_t values, Wire wire)
    : data_(std::make_unique<Data>(Data{first, second, type, values, {}, {}})) {
  const bool pinned = wire == Wire::pinned_host;
  const auto room = [&](std::size_t bytes, bool on_host) {
    data_->rooms.emplace_back(bytes, on_host);
    return data_->rooms.back().get();
  };
  data_->group.local_ranks = ranks;
  for (int rank = 0; rank < ranks; ++rank) {
    CudaRank r;
    r.in = room(values * value_bytes(type), false);
    r.out = room(values * value_bytes(type), false);
    r.messages = room(packed_bytes(first, values), pinned);
    r.sums = room(packed_bytes(second, values), pinned);
    r.arrivals = reinterpret_cast<std::uint32_t*>(room(sizeof(std::uint32_t), false));
    data_->group.ranks.push_back(r);
  }
  room(sizeof(std::uint32_t), false);  // the failure flag stands last
  data_->group.blocks_per_rank = cuda_two_step_blocks(ranks, first, second);
}

CudaVirtualRanks::~CudaVirtualRanks() = default;

void CudaVirtualRanks::upload(int rank, const void* host) {
  void* to = const_cast<void*>(data_->group.ranks.at(static_cast<std::size_t>(rank)).in);
  FT_CUDA_CHECK(
      cudaMemcpy(to, host, data_->values * value_bytes(data_->type), cudaMemcpyHostToDevice));
}

void CudaVirtualRanks::download(int rank, void* host) const {
  FT_CUDA_CHECK(cudaMemcpy(host, data_->group.ranks.at(static_cast<std::size_t>(rank)).out,
                           data_->values * value_bytes(data_->type), cudaMemcpyDeviceToHost));
}

void CudaVirtualRanks::run(const Phases& phases, cudaStream_t stream) {
  cuda_two_step(data_->group, data_->first, data_->second, data_->type, data_->values, phases,
                data_->rooms.back().get<std::uint32_t>(), stream);
  data_->group.runs_before += phases.wire ? 1 : 0;  // a run without barriers counts none
}

void CudaVirtualRanks::check() const {
  FT_CUDA_CHECK(cudaDeviceSynchronize());
  std::uint32_t failed = 0;
  FT_CUDA_CHECK(
      cudaMemcpy(&failed, data_->rooms.back().get(), sizeof(failed), cudaMemcpyDeviceToHost));
  if (failed != 0) {
    throw KernelError("two-step all-reduce on CUDA: a rank did not arrive within the time-out");
  }
}

}  // namespace foretoken::kernels
