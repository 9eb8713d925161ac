// Two threads in lockstep, one a core, timed together.
#pragma once

#include <atomic>
#include <functional>

namespace foretoken::calibrate {

// Spins, and yields after a while: the peer may have lost its core to another process.
class SpinBarrier {
 public:
  void wait();

 private:
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

struct PairTime {
  double seconds = 0;      // from both threads ready to both threads done
  bool disturbed = false;  // one of them was descheduled meanwhile
};

// Runs `body(rank)` on two pinned threads, rank 0 being the calling one (its affinity is put back).
PairTime run_pair(int core_a, int core_b, const std::function<void(int rank)>& body);

}  // namespace foretoken::calibrate
