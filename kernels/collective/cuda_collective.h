// The compressed collectives on GPUs (all-reduce two-step and hierarchical, all-to-all), one kernel
// for three wires:
//
// * virtual ranks: all ranks live on one device, each with its share of the blocks of one
//   cooperative launch. Exact for correctness and for the codec phases; its wire is not a link, so
//   never report its time as a collective's time.
// * pinned host memory: the packed messages lie in host memory mapped into the device, so that
// every
//   byte that one rank reads of another crosses the PCIe link: a real wire with one GPU.
// * peers: every rank is a device (one process with peer access, or pointers from cudaIpc); each
//   launches its own rank.
//
// The work between barriers: collective_device.cuh.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/collective/collective.h"

struct CUstream_st;

namespace foretoken::kernels {

inline constexpr int kCudaMaxRanks = 16;

// What every rank lends to the others; all pointers can be read by every rank's device, and
// `messages`, `halves`, `sums` and `arrivals` are written by their owner only.
struct CudaRank {
  const void* in = nullptr;
  void* out = nullptr;
  std::uint8_t* messages = nullptr;   // cuda_message_bytes
  std::uint8_t* halves = nullptr;     // hierarchical: packed_bytes(first, values)
  std::uint8_t* sums = nullptr;       // all-reduce: packed_bytes(second, values)
  std::uint32_t* arrivals = nullptr;  // one counter, zero before the first run
};

std::size_t cuda_message_bytes(const CollectiveDesc& desc, int ranks);

struct CudaLaunch {
  std::vector<CudaRank> ranks;
  int first_rank = 0;  // this launch plays first_rank .. first_rank + local_ranks - 1
  int local_ranks = 1;
  int blocks_per_rank = 0;            // 0: as many as fit; the same on every device
  std::uint32_t barriers_before = 0;  // that this group has passed: counters only grow
  std::uint64_t timeout_ns = 10'000'000'000;
};

// Enqueues one collective and returns the barriers that it passes. A rank that does not arrive
// within the time-out makes the kernel end and write 1 to *failed (device memory, zeroed by the
// caller); results are then meaningless. Throws KernelError where CUDA has no such collective.
std::uint32_t cuda_collective(const CudaLaunch& launch, const CollectiveDesc& desc,
                              std::uint32_t* failed, CUstream_st* stream);

// Blocks that a rank gets when `local_ranks` share the current device.
int cuda_collective_blocks(int local_ranks, const CollectiveDesc& desc);

// A whole group in this process, with its buffers.
class CudaGroup {
 public:
  enum class Wire : std::uint8_t { device_memory, pinned_host };

  // Virtual ranks on the current device.
  CudaGroup(int ranks, const CollectiveDesc& desc, Wire wire);
  // One rank a device, joined by peer access. Throws KernelError where two devices have none.
  CudaGroup(const std::vector<int>& devices, const CollectiveDesc& desc);
  CudaGroup(const CudaGroup&) = delete;
  CudaGroup& operator=(const CudaGroup&) = delete;
  ~CudaGroup();

  void upload(int rank, const void* host);
  void download(int rank, void* host) const;
  // On `stream` of the current device; peers run on their default streams.
  void run(const Phases& phases, CUstream_st* stream);
  // Waits; throws KernelError where a rank timed out.
  void check() const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace foretoken::kernels
