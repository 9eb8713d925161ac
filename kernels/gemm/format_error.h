// Numeric error of a GEMM format: what our kernel computes from rounded operands, against fp64 on
// the original ones.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gemm/descriptor.h"
#include "kernels/gemm/worker_pool.h"

namespace foretoken::kernels {

struct FormatError {
  double snr_db = 0;        // 10 log10(signal energy / error energy) of the outputs
  double relative_rms = 0;  // root of error energy over signal energy
  double largest = 0;       // largest error over the outputs' root mean square
};

// weights [n][k], activations [m][k]; rounds both as the format says and runs the CPU kernel: its
// fp32 output [m][n].
std::vector<float> format_output(const GemmFormat& format, std::span<const float> weights,
                                 std::span<const float> activations, std::int64_t m, std::int64_t n,
                                 std::int64_t k, bool search_clipping, WorkerPool& pool);

// The same, compared with the exact product of the operands.
FormatError measure_format_error(const GemmFormat& format, std::span<const float> weights,
                                 std::span<const float> activations, std::int64_t m, std::int64_t n,
                                 std::int64_t k, bool search_clipping, WorkerPool& pool);

}  // namespace foretoken::kernels
