// GEMM through oneDNN's matmul primitive on one thread: the anchor of every CPU profile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "calibrate/bench/machine.h"

namespace foretoken::calibrate {

enum class CpuFormat { bf16, int8 };

// out[m, n] = act[m, k] x weight[n, k]^T. bf16: all operands bf16. int8: s8 x s8 with a scale per
// output channel, accumulated in int32 and written as bf16 (scales per token need a later oneDNN).
class CpuGemm {
 public:
  // Packed weights are slices of `pool`, whose bytes are taken for what the layout of the library
  // means; each call of run() uses the next one, so weights are cold once the pool exceeds the
  // caches.
  CpuGemm(CpuFormat format, std::int64_t m, std::int64_t n, std::int64_t k, Pool& pool);
  ~CpuGemm();
  void run(int call);

  // Correctness of the same primitive: row-major operands in, row-major output back, as floats.
  static std::vector<float> multiply(CpuFormat format, std::int64_t m, std::int64_t n,
                                     std::int64_t k, const std::vector<float>& act,
                                     const std::vector<float>& weight);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// oneDNN takes its threads from OpenMP; call once per thread that runs kernels.
void use_one_thread();

}  // namespace foretoken::calibrate
