#include <algorithm>

#include "kernels/base/cuda_check.h"
#include "kernels/collective/collective_device.cuh"
#include "kernels/collective/cuda_collective.h"

namespace foretoken::kernels {
namespace {

using namespace device;

constexpr int kWarpsPerBlock = 8;

struct Arguments {
  CudaRank ranks[kCudaMaxRanks];
  Plan plan;
  int first_rank;
  int blocks_per_rank;
  std::uint32_t barriers_before;
  std::uint64_t timeout_ns;
  std::uint32_t* failed;
};

// ---- flags: one PTX instruction each ------------------------------------------------------------

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
// `barrier` counts from 1 within a run. False on all threads of the block after a time-out.
__device__ bool meet(const Arguments& a, int rank, std::uint32_t barrier) {
  __syncthreads();
  if (threadIdx.x == 0) {
    add_release(a.ranks[rank].arrivals);
  }
  const std::uint32_t target =
      (a.barriers_before + barrier) * static_cast<std::uint32_t>(a.blocks_per_rank);
  bool late = false;
  if (static_cast<int>(threadIdx.x) < a.plan.ranks) {
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

template <ValueType Type, bool AllToAll>
__global__ void __launch_bounds__(32 * kWarpsPerBlock)
    collective_kernel(const __grid_constant__ Arguments a) {
  extern __shared__ uint4 shared[];
  __shared__ Sources sources;
  const int rank = a.first_rank + static_cast<int>(blockIdx.x) / a.blocks_per_rank;
  const int block = static_cast<int>(blockIdx.x) % a.blocks_per_rank;
  if (threadIdx.x == 0) {
    find_sources(a.plan, a.ranks, rank, sources);
  }
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int room = a.plan.first.tile_bytes > a.plan.second.tile_bytes ? a.plan.first.tile_bytes
                                                                      : a.plan.second.tile_bytes;
  const Worker w =
      worker_of(a.plan, rank, static_cast<std::size_t>(block * kWarpsPerBlock + warp),
                static_cast<std::size_t>(a.blocks_per_rank * kWarpsPerBlock),
                reinterpret_cast<std::uint8_t*>(shared) + static_cast<std::size_t>(room * warp));
  for (int tick = 0; tick < a.plan.ticks(); ++tick) {
    run_tick<Type, AllToAll>(a.plan, a.ranks, sources, w, tick);
    if (tick < a.plan.barriers() && !meet(a, rank, static_cast<std::uint32_t>(tick + 1))) {
      return;
    }
  }
}

template <bool AllToAll>
const void* kernel_for(ValueType type) {
  switch (type) {
    case ValueType::fp32:
      return reinterpret_cast<const void*>(&collective_kernel<ValueType::fp32, AllToAll>);
    case ValueType::bf16:
      return reinterpret_cast<const void*>(&collective_kernel<ValueType::bf16, AllToAll>);
    case ValueType::fp16:
      return reinterpret_cast<const void*>(&collective_kernel<ValueType::fp16, AllToAll>);
  }
  return nullptr;
}

const void* kernel_for(const CollectiveDesc& desc) {
  return desc.operation == Operation::all_to_all ? kernel_for<true>(desc.type)
                                                 : kernel_for<false>(desc.type);
}

std::size_t shared_bytes(const CollectiveDesc& desc) {
  return std::max(packed_bytes(desc.first, kBlockValues), packed_bytes(desc.second, kBlockValues)) *
         kWarpsPerBlock;
}

// Memory of one rank that others may read: device memory, or pinned host memory that the device
// maps.
class Room {
 public:
  Room(std::size_t bytes, bool pinned) : pinned_(pinned) {
    const std::size_t size = std::max<std::size_t>(bytes, 16);
    if (pinned) {
      FT_CUDA_CHECK(cudaHostAlloc(&data_, size, cudaHostAllocMapped | cudaHostAllocPortable));
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

// The current device, changed for as long as this lives.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    FT_CUDA_CHECK(cudaGetDevice(&before_));
    FT_CUDA_CHECK(cudaSetDevice(device));
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { cudaSetDevice(before_); }

 private:
  int before_ = 0;
};

void enable_peer_access(const std::vector<int>& devices) {
  for (const int from : devices) {
    const OnDevice here(from);
    for (const int to : devices) {
      int possible = from == to ? 1 : 0;
      if (from != to) {
        FT_CUDA_CHECK(cudaDeviceCanAccessPeer(&possible, from, to));
      }
      if (possible == 0) {
        throw KernelError("device " + std::to_string(from) + " cannot reach the memory of device " +
                          std::to_string(to) + "; use pinned host memory");
      }
      const cudaError_t code = from == to ? cudaSuccess : cudaDeviceEnablePeerAccess(to, 0);
      if (code == cudaErrorPeerAccessAlreadyEnabled) {
        cudaGetLastError();  // not an error of ours
      } else {
        FT_CUDA_CHECK(code);
      }
    }
  }
}

}  // namespace

std::size_t cuda_message_bytes(const CollectiveDesc& desc, int ranks) {
  const Plan plan = make_plan(desc, ranks);
  return plan.stride != 0 ? plan.stride * static_cast<std::size_t>(ranks)
                          : packed_bytes(desc.first, desc.values);
}

int cuda_collective_blocks(int local_ranks, const CollectiveDesc& desc) {
  int device = 0;
  int processors = 0;
  int per_processor = 0;
  FT_CUDA_CHECK(cudaGetDevice(&device));
  FT_CUDA_CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  FT_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &per_processor, kernel_for(desc), 32 * kWarpsPerBlock, shared_bytes(desc)));
  return std::max(1, processors * per_processor / local_ranks);
}

std::uint32_t cuda_collective(const CudaLaunch& launch, const CollectiveDesc& desc,
                              std::uint32_t* failed, cudaStream_t stream) {
  const auto count = static_cast<int>(launch.ranks.size());
  Arguments a{};
  a.plan = make_plan(desc, count);
  if (launch.first_rank < 0 || launch.local_ranks < 1 ||
      launch.first_rank + launch.local_ranks > count) {
    throw KernelError("a collective on CUDA: the local ranks must be among all ranks");
  }
  std::copy(launch.ranks.begin(), launch.ranks.end(), a.ranks);
  a.first_rank = launch.first_rank;
  a.blocks_per_rank = launch.blocks_per_rank != 0
                          ? launch.blocks_per_rank
                          : cuda_collective_blocks(launch.local_ranks, desc);
  a.barriers_before = launch.barriers_before;
  a.timeout_ns = launch.timeout_ns;
  a.failed = failed;
  void* parameters[] = {&a};
  // Cooperative, so that every block of a rank runs at once: blocks wait for each other.
  FT_CUDA_CHECK(cudaLaunchCooperativeKernel(
      kernel_for(desc), dim3(static_cast<unsigned>(a.blocks_per_rank * launch.local_ranks)),
      dim3(32 * kWarpsPerBlock), parameters, shared_bytes(desc), stream));
  return static_cast<std::uint32_t>(a.plan.barriers());
}

struct CudaGroup::Data {
  CollectiveDesc desc;
  std::vector<int> devices;  // of each rank
  CudaLaunch launch;         // of all ranks; local_ranks of each device
  std::vector<Room> rooms;
  std::vector<std::uint32_t*> failed;  // one flag a launch

  std::uint8_t* room(std::size_t bytes, bool pinned) {
    rooms.emplace_back(bytes, pinned);
    return rooms.back().get();
  }
  void add_rank(bool pinned) {
    const std::size_t bytes = desc.values * value_bytes(desc.type);
    CudaRank r;
    r.in = room(bytes, false);
    r.out = room(bytes, false);
    r.messages = room(cuda_message_bytes(desc, static_cast<int>(devices.size())), pinned);
    r.halves = room(packed_bytes(desc.first, desc.values), pinned);
    r.sums = room(packed_bytes(desc.second, desc.values), pinned);
    r.arrivals = reinterpret_cast<std::uint32_t*>(room(sizeof(std::uint32_t), false));
    launch.ranks.push_back(r);
  }
  void add_flag() {
    failed.push_back(reinterpret_cast<std::uint32_t*>(room(sizeof(std::uint32_t), false)));
  }
};

CudaGroup::CudaGroup(int ranks, const CollectiveDesc& desc, Wire wire)
    : data_(std::make_unique<Data>()) {
  make_plan(desc, ranks);  // throws before anything is allocated
  int device = 0;
  FT_CUDA_CHECK(cudaGetDevice(&device));
  data_->desc = desc;
  data_->devices.assign(static_cast<std::size_t>(ranks), device);
  data_->launch.local_ranks = ranks;
  data_->launch.blocks_per_rank = cuda_collective_blocks(ranks, desc);
  for (int rank = 0; rank < ranks; ++rank) {
    data_->add_rank(wire == Wire::pinned_host);
  }
  data_->add_flag();
}

CudaGroup::CudaGroup(const std::vector<int>& devices, const CollectiveDesc& desc)
    : data_(std::make_unique<Data>()) {
  make_plan(desc, static_cast<int>(devices.size()));
  enable_peer_access(devices);
  data_->desc = desc;
  data_->devices = devices;
  data_->launch.blocks_per_rank = cuda_collective_blocks(1, desc);
  for (const int device : devices) {
    const OnDevice here(device);
    data_->launch.blocks_per_rank =
        std::min(data_->launch.blocks_per_rank, cuda_collective_blocks(1, desc));
    data_->add_rank(false);
    data_->add_flag();
  }
}

CudaGroup::~CudaGroup() = default;

void CudaGroup::upload(int rank, const void* host) {
  void* to = const_cast<void*>(data_->launch.ranks.at(static_cast<std::size_t>(rank)).in);
  const std::size_t bytes = data_->desc.values * value_bytes(data_->desc.type);
  FT_CUDA_CHECK(cudaMemcpy(to, host, bytes, cudaMemcpyHostToDevice));
}

void CudaGroup::download(int rank, void* host) const {
  const void* from = data_->launch.ranks.at(static_cast<std::size_t>(rank)).out;
  const std::size_t bytes = data_->desc.values * value_bytes(data_->desc.type);
  FT_CUDA_CHECK(cudaMemcpy(host, from, bytes, cudaMemcpyDeviceToHost));
}

void CudaGroup::run(const Phases& phases, cudaStream_t stream) {
  CollectiveDesc desc = data_->desc;
  desc.phases = phases;
  CudaLaunch& launch = data_->launch;
  std::uint32_t barriers = 0;
  for (std::size_t i = 0; i < data_->failed.size(); ++i) {
    launch.first_rank = static_cast<int>(i) * launch.local_ranks;
    const OnDevice here(data_->devices[static_cast<std::size_t>(launch.first_rank)]);
    barriers = cuda_collective(launch, desc, data_->failed[i], i == 0 ? stream : nullptr);
  }
  launch.barriers_before += barriers;
}

void CudaGroup::check() const {
  for (std::size_t i = 0; i < data_->failed.size(); ++i) {
    const OnDevice here(data_->devices[i * static_cast<std::size_t>(data_->launch.local_ranks)]);
    FT_CUDA_CHECK(cudaDeviceSynchronize());
    std::uint32_t failed = 0;
    FT_CUDA_CHECK(cudaMemcpy(&failed, data_->failed[i], sizeof(failed), cudaMemcpyDeviceToHost));
    if (failed != 0) {
      throw KernelError("collective on CUDA: a rank did not arrive within the time-out");
    }
  }
}

}  // namespace foretoken::kernels
