// The CUDA part of collective_bench.
#pragma once

namespace foretoken::kernels {

// Tables of virtual ranks, pinned host memory, peers and NCCL. One line where there is no device,
// or where this program was built without CUDA.
void print_cuda_collectives();
void register_cuda_rows();  // with Google Benchmark; nothing without a device

}  // namespace foretoken::kernels
