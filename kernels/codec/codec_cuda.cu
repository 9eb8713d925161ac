#include <algorithm>

#include "kernels/base/cuda_check.h"
#include "kernels/codec/codec_cuda.h"
#include "kernels/codec/codec_device.cuh"

namespace foretoken::kernels {
namespace {

using namespace device;

constexpr int kWarpsPerBlock = 8;

__device__ __forceinline__ std::size_t warp_index() {
  return static_cast<std::size_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / 32;
}

// This warp's part of the block's shared memory.
__device__ __forceinline__ std::uint8_t* warp_room(int bytes) {
  extern __shared__ uint4 room[];
  return reinterpret_cast<std::uint8_t*>(room) +
         static_cast<std::size_t>(bytes) * (threadIdx.x / 32);
}

template <ValueType Type>
__global__ void __launch_bounds__(32 * kWarpsPerBlock)
    pack_kernel(DeviceFormat f, const void* in, std::size_t n, std::uint8_t* out) {
  const std::size_t tile = warp_index();
  if (tile * kBlockValues < n) {
    warp_pack<Type>(f, in, n, tile, out, warp_room(f.tile_bytes));
  }
}

template <ValueType Type>
__global__ void __launch_bounds__(32 * kWarpsPerBlock)
    unpack_kernel(DeviceFormat f, Inputs inputs, std::size_t n, void* out) {
  const std::size_t tile = warp_index();
  if (tile * kBlockValues < n) {
    warp_unpack<Type>(f, inputs, n, tile, out, warp_room(f.tile_bytes));
  }
}

__global__ void __launch_bounds__(32 * kWarpsPerBlock)
    reduce_pack_kernel(DeviceFormat from, Inputs inputs, std::size_t n, DeviceFormat to,
                       std::uint8_t* out) {
  const std::size_t tile = warp_index();
  if (tile * kBlockValues < n) {
    const int bytes = from.tile_bytes > to.tile_bytes ? from.tile_bytes : to.tile_bytes;
    warp_reduce_pack(from, inputs, n, to, tile, out, warp_room(bytes));
  }
}

unsigned blocks_for(std::size_t n) {
  const std::size_t tiles = (n + kBlockValues - 1) / kBlockValues;
  return static_cast<unsigned>((tiles + kWarpsPerBlock - 1) / kWarpsPerBlock);
}

std::size_t room_for(int tile_bytes) {
  return static_cast<std::size_t>(tile_bytes) * kWarpsPerBlock;
}

Inputs input_list(std::span<const std::uint8_t* const> inputs) {
  FT_KERNEL_CHECK(!inputs.empty() && inputs.size() <= kCudaMaxInputs);
  Inputs list{};
  std::copy(inputs.begin(), inputs.end(), list.message);
  list.count = static_cast<int>(inputs.size());
  return list;
}

template <ValueType Type>
void launch_pack(const DeviceFormat& f, const void* in, std::size_t n, std::uint8_t* out,
                 cudaStream_t stream) {
  pack_kernel<Type>
      <<<blocks_for(n), 32 * kWarpsPerBlock, room_for(f.tile_bytes), stream>>>(f, in, n, out);
}

template <ValueType Type>
void launch_unpack(const DeviceFormat& f, const Inputs& inputs, std::size_t n, void* out,
                   cudaStream_t stream) {
  unpack_kernel<Type>
      <<<blocks_for(n), 32 * kWarpsPerBlock, room_for(f.tile_bytes), stream>>>(f, inputs, n, out);
}

}  // namespace

void cuda_pack(const WireFormat& format, ConstValues in, std::size_t n, std::uint8_t* out,
               cudaStream_t stream) {
  if (n == 0) {
    return;
  }
  const DeviceFormat f = device_format(format);
  switch (in.type) {
    case ValueType::fp32:
      launch_pack<ValueType::fp32>(f, in.data, n, out, stream);
      break;
    case ValueType::bf16:
      launch_pack<ValueType::bf16>(f, in.data, n, out, stream);
      break;
    case ValueType::fp16:
      launch_pack<ValueType::fp16>(f, in.data, n, out, stream);
      break;
  }
  FT_CUDA_CHECK(cudaGetLastError());
}

void cuda_unpack(const WireFormat& format, const std::uint8_t* in, std::size_t n, MutableValues out,
                 cudaStream_t stream) {
  const std::uint8_t* const inputs[] = {in};
  cuda_unpack_accumulate(format, inputs, n, out, stream);
}

void cuda_unpack_accumulate(const WireFormat& format, std::span<const std::uint8_t* const> inputs,
                            std::size_t n, MutableValues out, cudaStream_t stream) {
  const Inputs list = input_list(inputs);
  if (n == 0) {
    return;
  }
  const DeviceFormat f = device_format(format);
  switch (out.type) {
    case ValueType::fp32:
      launch_unpack<ValueType::fp32>(f, list, n, out.data, stream);
      break;
    case ValueType::bf16:
      launch_unpack<ValueType::bf16>(f, list, n, out.data, stream);
      break;
    case ValueType::fp16:
      launch_unpack<ValueType::fp16>(f, list, n, out.data, stream);
      break;
  }
  FT_CUDA_CHECK(cudaGetLastError());
}

void cuda_unpack_reduce_pack(const WireFormat& from, std::span<const std::uint8_t* const> inputs,
                             std::size_t n, const WireFormat& to, std::uint8_t* out,
                             cudaStream_t stream) {
  const Inputs list = input_list(inputs);
  if (n == 0) {
    return;
  }
  const DeviceFormat f = device_format(from);
  const DeviceFormat t = device_format(to);
  reduce_pack_kernel<<<blocks_for(n), 32 * kWarpsPerBlock,
                       room_for(std::max(f.tile_bytes, t.tile_bytes)), stream>>>(f, list, n, t,
                                                                                 out);
  FT_CUDA_CHECK(cudaGetLastError());
}

}  // namespace foretoken::kernels
