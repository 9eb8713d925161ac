// Launches on a CUDA device. Declared for every build; defined where the toolkit is present.
#pragma once

#include "kernels/gemm/cuda_gemm.h"
#include "kernels/gemm/quantize_body.h"

namespace foretoken::kernels {

// Properties of the current device; throws KernelError when there is none.
CudaDevice current_cuda_device();

// `stream` is a cudaStream_t. Pointers in `args` are device pointers; see CudaGemmArgs.
void launch_cuda_gemm(const CudaGemmConfig& config, const CudaGemmArgs& args, void* stream);

// Its wgmma half, the sums of split k left in the workspace; launch_cuda_gemm calls it.
void launch_hopper_gemm(const CudaGemmConfig& config, const CudaGemmArgs& args, void* stream);
// What the current device, of that capability, lacks for it; empty: nothing.
std::string lack_of_hopper(int capability);

// One scale per group of a row, in int8 or fp8; `args.x` 8-byte and `args.out` 4-byte aligned.
void launch_cuda_quantize(const CudaQuantizeArgs& args, void* stream);
// One scale for all: scales[0]. `largest`, device memory, takes the largest magnitude on the way;
// `args.group` does not matter.
void launch_cuda_quantize_tensor(CudaQuantizeArgs args, float* largest, void* stream);

// bf16 [m][k] to int8 rows of `stride` bytes, zeros behind k, with one scale per token: the same
// integers and scales as quantize_activations, to the bit.
void launch_cuda_quantize_rows(const void* bf16, std::int64_t m, std::int64_t k, void* int8,
                               std::int64_t stride, float* scales, void* stream);

}  // namespace foretoken::kernels
