// What the machine does beside a measurement: a fixed piece of work before and after it, and the
// processors' time that a hypervisor gave to others.
#pragma once

#include <vector>

#include "kernels/gemm/cpu_gemm.h"

namespace foretoken::runtime {

// A fixed piece of work in cache: what moves it moves the measurement beside it.
class Sentinel {
 public:
  Sentinel();
  double seconds();

 private:
  kernels::WorkerPool pool_{1};
  kernels::CpuGemm gemm_{pool_};
  kernels::PackedWeights weights_;
  std::vector<kernels::Bf16> in_, out_;
};

struct Quiet {
  double sentinel = 0;  // |after / before - 1| of the sentinel
  double steal = 0;     // share of the time
  bool ok() const { return sentinel < 0.03 && steal < 0.01; }
};

// From its construction to quiet(), on the calling thread.
class Watch {
 public:
  Watch();
  Quiet quiet() const;

 private:
  struct Ticks {
    double stolen = 0, all = 0;  // of the whole machine
  };
  static Ticks ticks();
  double sentinel_before_;
  Ticks before_;
};

}  // namespace foretoken::runtime
