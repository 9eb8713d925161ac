#include "kernels/base/cuda_check.h"
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
    CudaGemmBlock<Kind, 16, CudaLane>::finish(args, at);
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
  if (config.k_splits > 1) {
    constexpr int kThreads = 256;
    const auto blocks = static_cast<unsigned>((args.m * args.n + kThreads - 1) / kThreads);
    finish_split<Kind><<<blocks, kThreads, 0, stream>>>(args);
    FT_CUDA_CHECK(cudaGetLastError());
  }
}

template <CudaGemmKind Kind>
void launch_kind(const CudaGemmConfig& config, const CudaGemmArgs& args, cudaStream_t stream) {
  switch (config.tile_tokens) {
    case 16:
      return launch_tile<Kind, 16>(config, args, stream);
    case 64:
      return launch_tile<Kind, 64>(config, args, stream);
    default:
      return launch_tile<Kind, cuda_largest_tile(Kind)>(config, args, stream);
  }
}

__device__ float widen(std::uint16_t bits) {
  return __uint_as_float(static_cast<std::uint32_t>(bits) << 16);
}

// One block per token. Divisions are IEEE (no fast math), so integers equal the host's.
__global__ void quantize_rows(const std::uint16_t* x, std::int64_t k, std::int8_t* out,
                              std::int64_t stride, float* scales) {
  const std::uint16_t* const row = x + blockIdx.x * k;
  __shared__ float largest[32];
  float mine = 0;
  for (std::int64_t i = threadIdx.x; i < k; i += blockDim.x) {
    mine = fmaxf(mine, fabsf(widen(row[i])));
  }
  for (int other = 16; other > 0; other /= 2) {
    mine = fmaxf(mine, __shfl_xor_sync(0xffffffffU, mine, other));
  }
  if (threadIdx.x % 32 == 0) {
    largest[threadIdx.x / 32] = mine;
  }
  __syncthreads();
  mine = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) {
    mine = fmaxf(mine, largest[warp]);
  }
  constexpr float kSmallest = 1.17549435e-38F;
  const float scale = fmaxf(__fdiv_rn(mine, 127.0F), kSmallest);
  if (threadIdx.x == 0) {
    scales[blockIdx.x] = scale;
  }
  for (std::int64_t i = threadIdx.x; i < stride; i += blockDim.x) {
    const float level = i < k ? __fdiv_rn(widen(row[i]), scale) : 0.0F;
    out[blockIdx.x * stride + i] =
        static_cast<std::int8_t>(__float2int_rn(fminf(fmaxf(level, -127.0F), 127.0F)));
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
  return result;
}

void launch_cuda_gemm(const CudaGemmConfig& config, const CudaGemmArgs& args, void* stream) {
  auto* const s = static_cast<cudaStream_t>(stream);
  switch (config.kind) {
    case CudaGemmKind::w8a8:
      return launch_kind<CudaGemmKind::w8a8>(config, args, s);
    case CudaGemmKind::w4a8:
      return launch_kind<CudaGemmKind::w4a8>(config, args, s);
    case CudaGemmKind::w4a8_group_float:
      return launch_kind<CudaGemmKind::w4a8_group_float>(config, args, s);
    case CudaGemmKind::w4a8_group_integer:
      return launch_kind<CudaGemmKind::w4a8_group_integer>(config, args, s);
    case CudaGemmKind::w2a16:
      return launch_kind<CudaGemmKind::w2a16>(config, args, s);
    case CudaGemmKind::w3a16:
      return launch_kind<CudaGemmKind::w3a16>(config, args, s);
    case CudaGemmKind::w4a16:
      return launch_kind<CudaGemmKind::w4a16>(config, args, s);
    case CudaGemmKind::w5a16:
      return launch_kind<CudaGemmKind::w5a16>(config, args, s);
    case CudaGemmKind::w6a16:
      return launch_kind<CudaGemmKind::w6a16>(config, args, s);
    case CudaGemmKind::w8a16:
      return launch_kind<CudaGemmKind::w8a16>(config, args, s);
  }
}

void launch_cuda_quantize_rows(const void* bf16, std::int64_t m, std::int64_t k, void* int8,
                               std::int64_t stride, float* scales, void* stream) {
  quantize_rows<<<static_cast<unsigned>(m), 256, 0, static_cast<cudaStream_t>(stream)>>>(
      static_cast<const std::uint16_t*>(bf16), k, static_cast<std::int8_t*>(int8), stride, scales);
  FT_CUDA_CHECK(cudaGetLastError());
}

}  // namespace foretoken::kernels
