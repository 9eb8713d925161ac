// Ring all-reduce of two threads over shared memory, one thread a core.
#pragma once

#include <cstddef>
#include <vector>

#include "calibrate/bench/layer_kernels.h"
#include "calibrate/bench/thread_pair.h"
#include "calibrate/bench/timing.h"

namespace foretoken::calibrate {

// The ring schedule of two ranks on bf16 vectors: each adds the half it owns of its peer's vector
// to its own (reduce-scatter), a barrier, then copies the peer's reduced half (all-gather), a
// barrier.
class PairAllReduce {
 public:
  explicit PairAllReduce(std::size_t values);
  std::vector<Bf16>& vector(int rank) { return vectors_[rank]; }
  void run(int rank);  // by two threads at once

 private:
  std::vector<Bf16> vectors_[2];
  SpinBarrier barrier_;
};

// Time of one call on vectors of `bytes` per rank. About `seconds` are spent.
Timing time_all_reduce(int core_a, int core_b, std::size_t bytes, double seconds);

}  // namespace foretoken::calibrate
