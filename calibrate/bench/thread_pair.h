// Two threads in lockstep, one a core, timed together.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>

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

// The calling thread and a second one that stays: to start a thread takes milliseconds on some
// virtual machines, and what two cores share changes within them. Between calls the second thread
// is awake for a moment and then asleep. Not to be shared between threads.
class CorePair {
 public:
  CorePair();
  ~CorePair();
  CorePair(const CorePair&) = delete;
  CorePair& operator=(const CorePair&) = delete;

  // Runs `body(rank)` on both, pinned, rank 0 being the calling thread (its affinity is put back).
  // Throws what either threw, after both are done.
  PairTime run(int core_a, int core_b, const std::function<void(int rank)>& body);

 private:
  // What one of them did with a body.
  struct Outcome {
    bool disturbed = false;
    std::exception_ptr failure;
  };
  Outcome work(int rank, int core, const std::function<void(int rank)>& body);
  void serve();  // the second thread

  SpinBarrier barrier_;
  std::atomic<int> calls_{0};  // made so far; the peer goes to work when it moves
  std::atomic<bool> stop_{false};
  const std::function<void(int rank)>* body_ = nullptr;
  int peer_core_ = -1;
  Outcome peer_outcome_;
  std::thread peer_;  // last: uses all of the above
};

}  // namespace foretoken::calibrate
