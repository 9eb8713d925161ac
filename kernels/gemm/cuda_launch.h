// Launches on a CUDA device. Declared for every build; defined where the toolkit is present.
#pragma once

#include "kernels/gemm/cuda_gemm.h"

namespace foretoken::kernels {

// Properties of the current device; throws KernelError when there is none.
CudaDevice current_cuda_device();

// `stream` is a cudaStream_t. Pointers in `args` are device pointers; see CudaGemmArgs.
void launch_cuda_gemm(const CudaGemmConfig& config, const CudaGemmArgs& args, void* stream);

// bf16 [m][k] to int8 rows of `stride` bytes, zeros behind k, with one scale per token: the same
// integers and scales as quantize_activations, to the bit.
void launch_cuda_quantize_rows(const void* bf16, std::int64_t m, std::int64_t k, void* int8,
                               std::int64_t stride, float* scales, void* stream);

}  // namespace foretoken::kernels
