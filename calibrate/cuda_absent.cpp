#include "calibrate/cuda_backend.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {

std::unique_ptr<Bench> open_cuda(const SuiteOptions& /*options*/) {
  throw InputError(
      "--backend cuda: built without CUDA; build with nvcc on PATH, or use --backend cpu");
}

}  // namespace foretoken::calibrate
