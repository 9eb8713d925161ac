#include <algorithm>

#include "kernels/base/cuda_check.h"
#include "kernels/gemm/cuda_dispatch.h"
#include "kernels/gemm/cuda_gemm_body.h"
#include "kernels/gemm/cuda_lane.cuh"
#include "kernels/gemm/cuda_launch.h"

namespace foretoken::kernels {
namespace {

template <CudaGemmKind Kind, int TileTokens>
__global__ void __launch_bounds__(cuda_threads(TileTokens)) mma_gemm(const CudaGemmArgs args) {
  extern __shared__ __align__(128) std::uint8_t shared[];
  CudaLane lane(shared);
  CudaGemmBlock<Kind, TileTokens, CudaLane>(lane, args).run();
}

template <CudaGemmKind Kind>
__global__ void finish_split(const CudaGemmArgs args) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at < args.m * args.n) {
    finish_split_output<Kind>(args, at);
  }
}

template <CudaGemmKind Kind, int TileTokens>
void launch_tile(const CudaGemmConfig& config, const CudaGemmArgs& args, cudaStream_t stream) {
  constexpr int kShared = cuda_shared_bytes(Kind, TileTokens);
  FT_CUDA_CHECK(cudaFuncSetAttribute(mma_gemm<Kind, TileTokens>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  const dim3 grid(static_cast<unsigned>((args.m + TileTokens - 1) / TileTokens),
                  static_cast<unsigned>(args.padded_n / kCudaTileChannels),
                  static_cast<unsigned>(config.k_splits));
  mma_gemm<Kind, TileTokens><<<grid, cuda_threads(TileTokens), kShared, stream>>>(args);
  FT_CUDA_CHECK(cudaGetLastError());
}

template <CudaGemmKind Kind>
void launch_kind(const CudaGemmConfig& config, const CudaGemmArgs& args, cudaStream_t stream) {
  if (config.wgmma) {
    launch_hopper_gemm(config, args, stream);
  } else {
    with_tile<cuda_largest_tile(Kind)>(config.tile_tokens, [&](auto tile) {
      launch_tile<Kind, decltype(tile)::value>(config, args, stream);
    });
  }
  if (config.k_splits > 1) {
    constexpr int kThreads = 256;
    const auto blocks = static_cast<unsigned>((args.m * args.n + kThreads - 1) / kThreads);
    finish_split<Kind><<<blocks, kThreads, 0, stream>>>(args);
    FT_CUDA_CHECK(cudaGetLastError());
  }
}

template <int Threads, int Step>
__global__ void __launch_bounds__(kQuantizeThreads) quantize(const CudaQuantizeArgs args) {
  __shared__ __align__(16) std::uint8_t shared[kQuantizeShared];
  CudaLane lane(shared);
  QuantizeBlock<Threads, Step, CudaLane>(lane, args).run();
}

// Magnitudes order like their bit patterns. REQUIRES: *largest is 0.
__global__ void largest_magnitude(const CudaQuantizeArgs args, std::uint32_t* largest) {
  CudaLane lane(nullptr);
  float mine = QuantizeBlock<32, 1, CudaLane>(lane, args)
                   .largest_of_share(static_cast<std::int64_t>(gridDim.x) * kQuantizeThreads);
  for (int other = 16; other > 0; other /= 2) {
    mine = fmaxf(mine, lane.shuffle_xor(mine, other));
  }
  if (threadIdx.x % 32 == 0) {
    atomicMax(largest, __float_as_uint(mine));
  }
}

}  // namespace

CudaDevice current_cuda_device() {
  int device = 0;
  CudaDevice result;
  int major = 0, minor = 0;
  FT_CUDA_CHECK(cudaGetDevice(&device));
  FT_CUDA_CHECK(
      cudaDeviceGetAttribute(&result.multiprocessors, cudaDevAttrMultiProcessorCount, device));
  FT_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  FT_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  result.capability = 10 * major + minor;
  result.hopper_lack = lack_of_hopper(result.capability);
  result.hopper = result.hopper_lack.empty();
  return result;
}

void launch_cuda_gemm(const CudaGemmConfig& config, const CudaGemmArgs& args, void* stream) {
  auto* const s = static_cast<cudaStream_t>(stream);
  with_kind(config.kind, [&](auto kind) { launch_kind<decltype(kind)::value>(config, args, s); });
}

void launch_cuda_quantize(const CudaQuantizeArgs& args, void* stream) {
  auto* const s = static_cast<cudaStream_t>(stream);
  const auto blocks = static_cast<unsigned>(quantize_blocks(args));
  const bool fours = quantize_in_fours(args);
  if (quantize_by_warps(args)) {
    fours ? quantize<32, 4><<<blocks, kQuantizeThreads, 0, s>>>(args)
          : quantize<32, 1><<<blocks, kQuantizeThreads, 0, s>>>(args);
  } else {
    fours ? quantize<kQuantizeThreads, 4><<<blocks, kQuantizeThreads, 0, s>>>(args)
          : quantize<kQuantizeThreads, 1><<<blocks, kQuantizeThreads, 0, s>>>(args);
  }
  FT_CUDA_CHECK(cudaGetLastError());
}

void launch_cuda_quantize_tensor(CudaQuantizeArgs args, float* largest, void* stream) {
  auto* const s = static_cast<cudaStream_t>(stream);
  FT_CUDA_CHECK(cudaMemsetAsync(largest, 0, sizeof(float), s));
  constexpr std::int64_t kMostBlocks = 1024;
  const std::int64_t wanted = (args.rows * args.width + kQuantizeThreads - 1) / kQuantizeThreads;
  largest_magnitude<<<static_cast<unsigned>(std::min(wanted, kMostBlocks)), kQuantizeThreads, 0,
                      s>>>(args, reinterpret_cast<std::uint32_t*>(largest));
  FT_CUDA_CHECK(cudaGetLastError());
  args.group = args.width;
  args.largest = largest;
  launch_cuda_quantize(args, stream);
}

void launch_cuda_quantize_rows(const void* bf16, std::int64_t m, std::int64_t k, void* int8,
                               std::int64_t stride, float* scales, void* stream) {
  CudaQuantizeArgs args;
  args.x = static_cast<const std::uint16_t*>(bf16);
  args.rows = m;
  args.width = args.group = k;
  args.out = static_cast<std::uint8_t*>(int8);
  args.stride = stride;
  args.scales = scales;
  launch_cuda_quantize(args, stream);
}

}  // namespace foretoken::kernels
