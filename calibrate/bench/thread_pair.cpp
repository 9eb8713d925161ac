#include "calibrate/bench/thread_pair.h"

#include <sched.h>

#include <thread>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/timing.h"

namespace foretoken::calibrate {

void SpinBarrier::wait() {
  const int round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == 1) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
    if (spins > 100000) {
      std::this_thread::yield();
    } else {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }
}

PairTime run_pair(int core_a, int core_b, const std::function<void(int rank)>& body) {
  cpu_set_t before;
  CPU_ZERO(&before);
  sched_getaffinity(0, sizeof before, &before);
  SpinBarrier barrier;
  bool peer_disturbed = false;
  const auto work = [&](int rank, int core) {
    pin_to_core(core);
    barrier.wait();
    const long switches = involuntary_switches();
    body(rank);
    return involuntary_switches() != switches;
  };
  std::thread peer([&] {
    peer_disturbed = work(1, core_b);
    barrier.wait();
  });
  PairTime time;
  pin_to_core(core_a);
  barrier.wait();
  const long switches = involuntary_switches();
  const double start = now_seconds();
  body(0);
  barrier.wait();
  time.seconds = now_seconds() - start;
  time.disturbed = involuntary_switches() != switches;
  peer.join();
  time.disturbed = time.disturbed || peer_disturbed;
  sched_setaffinity(0, sizeof before, &before);
  return time;
}

}  // namespace foretoken::calibrate
