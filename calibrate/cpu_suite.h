// Measures this machine: the order of things, the shapes and the time they may take.
#pragma once

#include <functional>
#include <string>

#include "calibrate/bench/machine.h"
#include "calibrate/fit/measurements.h"

namespace foretoken::calibrate {

struct CpuSuiteOptions {
  bool quick = true;  // about half a minute; otherwise more shapes and samples, a few minutes
};

// Called with the family at hand and the share of the work that is done.
using ProgressCallback = std::function<void(const std::string& family, double share)>;

CpuMeasurements measure_cpu(const Machine& machine, const CpuSuiteOptions& options,
                            const ProgressCallback& progress);

// (n, k) of the projections of one model under one tensor degree, lm_head included.
struct GemmShape {
  std::int64_t n = 0, k = 0;
  bool head = false;  // lm_head: few rows reach it
};
std::vector<GemmShape> gemm_shapes(bool quick);

}  // namespace foretoken::calibrate
