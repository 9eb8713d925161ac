// The wgmma kernels and their launch. Compiled for sm_90a alone (CMakeLists.txt).
#include <cuda.h>

#include "kernels/base/cuda_check.h"
#include "kernels/base/error.h"
#include "kernels/gemm/cuda_dispatch.h"
#include "kernels/gemm/cuda_launch.h"
#include "kernels/gemm/hopper_gemm_body.h"
#include "kernels/gemm/hopper_lane.cuh"

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#error "wgmma needs sm_90a"
#endif

namespace foretoken::kernels {
namespace {

template <CudaGemmKind Kind, int TileTokens>
__global__ void __launch_bounds__(kHopperThreads, hopper_blocks_per_multiprocessor(TileTokens))
    hopper_gemm(const __grid_constant__ CudaGemmArgs args,
                const __grid_constant__ CUtensorMap tokens) {
  extern __shared__ __align__(1024) std::uint8_t shared[];
  HopperLane lane(shared, &tokens);
  HopperGemmBlock<Kind, TileTokens, HopperLane>(lane, args).run();
}

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

// Null where the driver has none: the library is not linked against libcuda.
EncodeTiled tensor_map_encoder() {
  static const EncodeTiled encoder = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found,
                                                                12000, cudaEnableDefault, &result);
#else
    const cudaError_t status =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
    return status == cudaSuccess && result == cudaDriverEntryPointSuccess
               ? reinterpret_cast<EncodeTiled>(found)
               : nullptr;
  }();
  return encoder;
}

// Tiles of 128 bytes x `rows`; rows behind the last token read as zeros.
CUtensorMap tokens_map(const CudaGemmArgs& args, int rows) {
  const EncodeTiled encode = tensor_map_encoder();
  CUtensorMap map;
  const cuuint64_t size[] = {static_cast<cuuint64_t>(args.activation_stride),
                             static_cast<cuuint64_t>(args.m)};
  const cuuint64_t stride[] = {static_cast<cuuint64_t>(args.activation_stride)};
  const cuuint32_t box[] = {kCudaRowBytes, static_cast<cuuint32_t>(rows)};
  const cuuint32_t step[] = {1, 1};
  const CUresult result =
      encode == nullptr
          ? CUDA_ERROR_NOT_SUPPORTED
          : encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<void*>(args.activations),
                   size, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                   CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                   CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw KernelError("cuTensorMapEncodeTiled refused the activations (error " +
                      std::to_string(result) + ")");
  }
  return map;
}

template <CudaGemmKind Kind, int TileTokens>
void launch_tile(const CudaGemmConfig& config, const CudaGemmArgs& args, cudaStream_t stream) {
  constexpr int kShared = hopper_shared_bytes(Kind, TileTokens);
  FT_CUDA_CHECK(cudaFuncSetAttribute(hopper_gemm<Kind, TileTokens>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {1, static_cast<unsigned>(config.cluster), 1};
  cudaLaunchConfig_t launch{};
  launch.gridDim = dim3(static_cast<unsigned>((args.m + TileTokens - 1) / TileTokens),
                        static_cast<unsigned>(args.padded_n / kCudaTileChannels),
                        static_cast<unsigned>(config.k_splits));
  launch.blockDim = dim3(kHopperThreads);
  launch.dynamicSmemBytes = kShared;
  launch.stream = stream;
  launch.attrs = &cluster;
  launch.numAttrs = 1;
  FT_CUDA_CHECK(cudaLaunchKernelEx(&launch, hopper_gemm<Kind, TileTokens>, args,
                                   tokens_map(args, TileTokens / config.cluster)));
}

}  // namespace

std::string lack_of_hopper(int capability) {
  if (capability != 90) {
    return "wgmma needs a device of capability 9.0";
  }
  if (tensor_map_encoder() == nullptr) {
    return "the driver has no cuTensorMapEncodeTiled";
  }
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, hopper_gemm<CudaGemmKind::w8a8, 16>) != cudaSuccess) {
    cudaGetLastError();  // forget it
    return "this program has no code for sm_90a";
  }
  return "";
}

void launch_hopper_gemm(const CudaGemmConfig& config, const CudaGemmArgs& args, void* stream) {
  auto* const s = static_cast<cudaStream_t>(stream);
  with_kind(config.kind, [&](auto kind) {
    constexpr CudaGemmKind kKind = decltype(kind)::value;
    if constexpr (hopper_has_kernel(kKind)) {
      with_tile<hopper_largest_tile(kKind)>(config.tile_tokens, [&](auto tile) {
        launch_tile<decltype(kind)::value, decltype(tile)::value>(config, args, s);
      });
    } else {
      throw KernelError("no wgmma kernel: " + to_string(config));
    }
  });
}

}  // namespace foretoken::kernels
