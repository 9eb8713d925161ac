// Descriptor -> configuration -> launch, on the CPU. The configuration is a plain value: it is
// chosen from the descriptor and the processor's features alone, can be printed, and may be changed
// by a caller who knows better (a test, a sweep).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/cpu_features.h"
#include "kernels/gemm/cpu_kernels.h"
#include "kernels/gemm/descriptor.h"
#include "kernels/gemm/packed_weights.h"
#include "kernels/gemm/page_buffer.h"
#include "kernels/gemm/worker_pool.h"

namespace foretoken::kernels {

struct CpuGemmConfig {
  CpuIsa isa = CpuIsa::scalar;
  int threads = 1;
  std::int64_t rows_per_pass = 0;  // tokens that share one pass over the weights
  // Weights become bytes or bf16 in scratch memory, once a pass, instead of inside the kernel.
  bool expand_once = false;
  // Integer weights of 16-bit activations become bf16 with their scale folded in (one rounding
  // more, no work per group), or without it (cheaper to expand: pays when few tokens share the
  // expansion).
  bool fold_scales = true;
};

// Instruction sets that this processor runs, best first; asks for AMX permission when AMX is there.
std::vector<CpuIsa> available_isas(const CpuFeatures& features);
// Throws KernelError when the descriptor has no kernel.
CpuGemmConfig choose_cpu_gemm_config(const GemmDescriptor& descriptor, const CpuFeatures& features,
                                     int threads);
std::string to_string(CpuIsa isa);
std::string to_string(const CpuGemmConfig& config);
const CpuKernels& kernels_of(CpuIsa isa);

// Row-major [m][k], as the format says: int8 within +-127, Bf16 or Fp8E4m3. `scales` has one value
// per token (int8, fp8 per channel), one in all (fp8 per tensor), [m][ceil(k / 128)] (fp8 blocks)
// or is null (bf16).
struct GemmActivations {
  const void* values = nullptr;
  const float* scales = nullptr;
};

// Holds the threads' scratch memory between calls. One call at a time.
class CpuGemm {
 public:
  explicit CpuGemm(WorkerPool& pool) : pool_(pool), scratch_(pool.threads()) {}

  // out is [m][n], fp32 or Bf16. REQUIRES: weights packed for descriptor.format, n and k.
  void run(const GemmDescriptor& descriptor, const CpuGemmConfig& config,
           const PackedWeights& weights, const GemmActivations& activations, void* out);
  // The same with the configuration chosen here.
  void run(const GemmDescriptor& descriptor, const PackedWeights& weights,
           const GemmActivations& activations, void* out);

 private:
  struct Job;
  struct Scratch {
    PageBuffer expanded;
    PageBuffer wide_sums;  // int64, when k is split
  };

  void prepare_activations(Job& job);
  void prepare_int8_rows(const Job& job, std::int64_t first, std::int64_t last);
  void prepare_wide_rows(const Job& job, std::int64_t first, std::int64_t last);
  template <typename In>
  void prepare_wide_rows_of(const Job& job, std::int64_t first, std::int64_t last);
  void run_panel(const Job& job, Scratch& scratch, std::int64_t panel, std::int64_t first_row,
                 std::int64_t last_row);
  void run_int8_block(const Job& job, Scratch& scratch, const std::uint8_t* expanded,
                      std::int64_t panel, std::int64_t row, int rows);
  void run_float_block(const Job& job, const std::uint8_t* expanded, std::int64_t panel,
                       std::int64_t row, int rows);

  WorkerPool& pool_;
  PageBuffer activations_, sums_, block_scales_;
  std::vector<Scratch> scratch_;
};

}  // namespace foretoken::kernels
