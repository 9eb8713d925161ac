// The two-step all-reduce on GPUs, one kernel for three wires:
//
// * virtual ranks: all ranks live on one device, each with its share of the blocks of one
//   cooperative launch. Exact for correctness and for the codec phases; its wire is not a link, so
//   never report its time as an all-reduce time.
// * pinned host memory: the packed messages lie in host memory mapped into the device, so that
// every
//   byte that one rank reads of another crosses the PCIe link: a real wire with one GPU.
// * peers: every rank is a device (one process with peer access, or pointers from cudaIpc); each
//   launches its own rank.
//
// Slices are whole tiles of 1,024 values: tile t belongs to the rank that holds part t of the
// tiles.
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
// `messages`, `sums` and `arrivals` are written by their owner only.
struct CudaRank {
  const void* in = nullptr;
  void* out = nullptr;
  std::uint8_t* messages = nullptr;   // packed_bytes(first, values)
  std::uint8_t* sums = nullptr;       // packed_bytes(second, values)
  std::uint32_t* arrivals = nullptr;  // one counter, zero before the first run
};

struct CudaTwoStep {
  std::vector<CudaRank> ranks;
  int first_rank = 0;  // this launch plays first_rank .. first_rank + local_ranks - 1
  int local_ranks = 1;
  int blocks_per_rank = 0;        // 0: as many as fit; the same on every device
  std::uint32_t runs_before = 0;  // how often this group has run: counters only grow
  std::uint64_t timeout_ns = 10'000'000'000;
};

// Enqueues one all-reduce. A rank that does not arrive within the time-out makes the kernel end and
// write 1 to *failed (device memory, zeroed by the caller); results are then meaningless.
void cuda_two_step(const CudaTwoStep& group, const WireFormat& first, const WireFormat& second,
                   ValueType type, std::size_t values, const Phases& phases, std::uint32_t* failed,
                   CUstream_st* stream);

// Blocks that a rank gets when `local_ranks` share the current device.
int cuda_two_step_blocks(int local_ranks, const WireFormat& first, const WireFormat& second);

// A whole group on the current device, with its buffers.
class CudaVirtualRanks {
 public:
  enum class Wire : std::uint8_t { device_memory, pinned_host };

  CudaVirtualRanks(int ranks, const WireFormat& first, const WireFormat& second, ValueType type,
                   std::size_t values, Wire wire);
  CudaVirtualRanks(const CudaVirtualRanks&) = delete;
  CudaVirtualRanks& operator=(const CudaVirtualRanks&) = delete;
  ~CudaVirtualRanks();

  void upload(int rank, const void* host);
  void download(int rank, void* host) const;
  void run(const Phases& phases, CUstream_st* stream);
  // Waits; throws KernelError where a rank timed out.
  void check() const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace foretoken::kernels
