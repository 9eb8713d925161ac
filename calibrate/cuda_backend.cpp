#include "calibrate/cuda_backend.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "calibrate/bench/cuda_bench.h"
#include "calibrate/bench/machine.h"
#include "kernels/base/error.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

class CudaBackend : public Bench {
 public:
  explicit CudaBackend(const SuiteOptions& options) : cases_(bench_.cases(options)) {}

  DeviceMeasurements facts() const override {
    const CudaFacts& known = bench_.facts();
    DeviceMeasurements facts;
    facts.device = known.device;
    facts.fingerprint = known.fingerprint;
    facts.date = this_machine().date;
    facts.memory = static_cast<double>(known.memory);
    facts.l2 = static_cast<double>(known.l2);
    facts.sms = known.multiprocessors;
    facts.method = fmt::format(
        "kernels/ and cuBLASLt, CUDA graphs timed with events, median of passes, weights rotated "
        "through three times L2{}",
        bench_.missing().empty()
            ? std::string()
            : fmt::format("; not measured: {}", fmt::join(bench_.missing(), ", ")));
    return facts;
  }
  const std::vector<BenchCase>& cases() const override { return cases_; }
  double sentinel(int /*cores*/) override { return bench_.sentinel(); }

 private:
  CudaBench bench_;
  std::vector<BenchCase> cases_;
};

}  // namespace

std::unique_ptr<Bench> open_cuda(const SuiteOptions& options) {
  try {
    return std::make_unique<CudaBackend>(options);
  } catch (const kernels::KernelError& error) {
    throw InputError(fmt::format("--backend cuda: {}", error.what()));
  }
}

}  // namespace foretoken::calibrate
