// What is timed on a CPU: the kernels of kernels/, one thread on one core being one device.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "calibrate/bench/bench_case.h"
#include "calibrate/bench/machine.h"
#include "calibrate/bench/suite.h"

namespace foretoken::calibrate {

// (n, k) of the projections of small Llama models at tensor degrees 1 and 2, lm_head included, and
// `extra` points that fill [256, 8192]^2 evenly on the log scale.
struct GemmShape {
  std::int64_t n = 0, k = 0;
  bool head = false;  // lm_head: few rows reach it
};
std::vector<GemmShape> gemm_shapes(int extra);

// The GEMM formats of kernels/gemm under their names in profiles.
std::vector<std::string> cpu_gemm_formats();

class CpuBench {
 public:
  explicit CpuBench(const Machine& machine);
  CpuBench(const CpuBench&) = delete;
  CpuBench& operator=(const CpuBench&) = delete;
  ~CpuBench();

  // They refer to this object.
  std::vector<BenchCase> cases(const SuiteOptions& options);
  // Times a small GEMM with its operands in cache: how fast the core is right now. Where it is slow
  // the calling thread moves to another core first: cores are alike, their neighbours are not.
  // On two cores that one and another run it at once, and the slower counts.
  double sentinel(int cores);
  std::string method() const;  // in one line, for every source text

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken::calibrate
