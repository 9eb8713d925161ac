#include "calibrate/bench/thread_pair.h"

#include <sched.h>

#include <utility>

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

CorePair::CorePair() : peer_([this] { serve(); }) {}

CorePair::~CorePair() {
  stop_.store(true);
  calls_.fetch_add(1, std::memory_order_release);
  calls_.notify_one();
  peer_.join();
}

CorePair::Outcome CorePair::work(int rank, int core, const std::function<void(int rank)>& body) {
  Outcome outcome;
  pin_to_core(core);
  barrier_.wait();
  const long switches = involuntary_switches();
  try {
    body(rank);
  } catch (...) {
    outcome.failure = std::current_exception();
  }
  outcome.disturbed = involuntary_switches() != switches;
  return outcome;
}

void CorePair::serve() {
  constexpr double kAwake = 2e-4;  // s without a call
  for (int done = 0;; ++done) {
    const double begin = now_seconds();
    while (calls_.load(std::memory_order_acquire) == done && now_seconds() - begin < kAwake) {
    }
    calls_.wait(done, std::memory_order_acquire);
    if (stop_.load()) {
      return;
    }
    peer_outcome_ = work(1, peer_core_, *body_);
    barrier_.wait();
  }
}

PairTime CorePair::run(int core_a, int core_b, const std::function<void(int rank)>& body) {
  cpu_set_t before;
  CPU_ZERO(&before);
  sched_getaffinity(0, sizeof before, &before);
  body_ = &body;
  peer_core_ = core_b;
  calls_.fetch_add(1, std::memory_order_release);
  calls_.notify_one();
  double start = 0;
  const Outcome own = work(0, core_a, [&](int rank) {
    start = now_seconds();
    body(rank);
  });
  barrier_.wait();
  PairTime time;
  time.seconds = now_seconds() - start;
  sched_setaffinity(0, sizeof before, &before);
  for (const Outcome* outcome : {&own, &std::as_const(peer_outcome_)}) {
    if (outcome->failure) {
      std::rethrow_exception(outcome->failure);
    }
    time.disturbed = time.disturbed || outcome->disturbed;
  }
  return time;
}

}  // namespace foretoken::calibrate
