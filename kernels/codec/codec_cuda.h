// The wire codec on a GPU: the operations of codec.h on device memory, the same bytes. All calls
// are asynchronous on `stream`; a failing launch throws KernelError. Buffers that are 16-byte
// aligned are moved with 16-byte accesses; others work, slower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/codec/codec.h"

struct CUstream_st;

namespace foretoken::kernels {

inline constexpr std::size_t kCudaMaxInputs = 16;

void cuda_pack(const WireFormat& format, ConstValues in, std::size_t n, std::uint8_t* out,
               CUstream_st* stream);
void cuda_unpack(const WireFormat& format, const std::uint8_t* in, std::size_t n, MutableValues out,
                 CUstream_st* stream);
// REQUIRES: 1 to kCudaMaxInputs inputs; the span itself is host memory.
void cuda_unpack_accumulate(const WireFormat& format, std::span<const std::uint8_t* const> inputs,
                            std::size_t n, MutableValues out, CUstream_st* stream);
void cuda_unpack_reduce_pack(const WireFormat& from, std::span<const std::uint8_t* const> inputs,
                             std::size_t n, const WireFormat& to, std::uint8_t* out,
                             CUstream_st* stream);

}  // namespace foretoken::kernels
