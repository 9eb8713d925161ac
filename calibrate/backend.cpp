#include "calibrate/backend.h"

#include <fmt/format.h>

#include <array>

#include "calibrate/bench/cpu_bench.h"
#include "calibrate/bench/cuda_plan.h"
#include "calibrate/cuda_backend.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken::calibrate {
namespace {

class CpuBackend : public Bench {
 public:
  explicit CpuBackend(const SuiteOptions& options)
      : machine_(this_machine()), bench_(machine_), cases_(bench_.cases(options)) {}

  DeviceMeasurements facts() const override {
    DeviceMeasurements facts;
    facts.device = machine_.cpu + ", one core";
    facts.memory =
        static_cast<double>(machine_.memory) / static_cast<double>(machine_.cores.size());
    facts.l2 = static_cast<double>(machine_.l2);
    facts.fingerprint = machine_.fingerprint();
    facts.date = machine_.date;
    facts.method = bench_.method();
    return facts;
  }
  const std::vector<BenchCase>& cases() const override { return cases_; }
  double sentinel(int cores) override { return bench_.sentinel(cores); }

 private:
  Machine machine_;
  CpuBench bench_;
  std::vector<BenchCase> cases_;
};

std::unique_ptr<Bench> open_cpu(const SuiteOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

constexpr std::array kBackends{
    Backend{"cpu", "this processor; one core is one device", open_cpu, cpu_gemm_formats, true},
    Backend{"cuda", "the first CUDA device", open_cuda, cuda_gemm_formats, false}};

}  // namespace

std::span<const Backend> backends() { return kBackends; }

const Backend& find_backend(std::string_view name) {
  std::string known;
  for (const Backend& backend : kBackends) {
    if (backend.name == name) {
      return backend;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", backend.name);
  }
  throw InputError(fmt::format("--backend {}: unknown (known: {})", name, known));
}

}  // namespace foretoken::calibrate
