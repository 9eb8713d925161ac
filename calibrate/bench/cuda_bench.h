// The plan of cuda_plan.h on the current CUDA device. Only files that are compiled where the
// toolkit is present include this header.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "calibrate/bench/bench_case.h"
#include "calibrate/bench/cuda_plan.h"

namespace foretoken::calibrate {

struct CudaFacts {
  std::string device, fingerprint;
  std::size_t memory = 0, l2 = 0;
  int multiprocessors = 0;
};

class CudaBench {
 public:
  // Throws KernelError where there is no device.
  CudaBench();
  CudaBench(const CudaBench&) = delete;
  CudaBench& operator=(const CudaBench&) = delete;
  ~CudaBench();

  const CudaFacts& facts() const;
  // They refer to this object. Formats whose library is missing are left out and named in
  // missing().
  std::vector<BenchCase> cases(const SuiteOptions& options);
  const std::vector<std::string>& missing() const;
  double sentinel();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken::calibrate
