// NCCL, the uncompressed baseline: loaded when first needed, so that programs start without it.
// Buffers are device memory and streams are CUDA streams; this header needs neither.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/codec/codec.h"

namespace foretoken::kernels {

// The functions of libnccl.so.2 that we use.
class NcclLibrary {
 public:
  // Opens `path`, or libnccl.so.2 where it is empty. Throws KernelError: one line with the remedy.
  explicit NcclLibrary(const std::string& path = "");
  NcclLibrary(const NcclLibrary&) = delete;
  NcclLibrary& operator=(const NcclLibrary&) = delete;
  ~NcclLibrary();

  int version() const;  // 22809 is 2.28.9

  struct Functions;
  const Functions& functions() const { return *functions_; }

 private:
  struct Data;
  std::unique_ptr<Data> data_;
  const Functions* functions_;
};

using NcclId = std::array<char, 128>;

// One rank of a communicator. With one GPU only a communicator of one rank can be made (NCCL before
// 2.30 rejects two ranks on one device); it runs every operation.
class NcclCommunicator {
 public:
  static NcclId make_id(const NcclLibrary& library);  // on one rank; give it to the others

  NcclCommunicator(const NcclLibrary& library, const NcclId& id, int ranks, int rank);
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;
  ~NcclCommunicator();

  // Sums. Counts as in Collective: `values` is the full vector everywhere, a multiple of the ranks
  // but for all-reduce. All calls are asynchronous on `stream` (a cudaStream_t).
  void all_reduce(const void* in, void* out, std::size_t values, ValueType type, void* stream);
  void all_gather(const void* in, void* out, std::size_t values, ValueType type, void* stream);
  void reduce_scatter(const void* in, void* out, std::size_t values, ValueType type, void* stream);
  void all_to_all(const void* in, void* out, std::size_t values, ValueType type, void* stream);

 private:
  std::size_t share(std::size_t values) const;

  const NcclLibrary& library_;
  void* comm_ = nullptr;
  int ranks_;
};

}  // namespace foretoken::kernels
