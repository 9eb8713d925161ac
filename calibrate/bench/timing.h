// Timing of short calls on a machine that is not ours alone.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

namespace foretoken::calibrate {

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Timing {
  double best = 0;    // s a call
  double lower = 0;   // s a call, lower quartile: for calls whose operands are not equally cold
  double median = 0;  // s a call
  double p90 = 0;     // s a call
  double spread = 0;  // (upper - lower quartile) / median
  int samples = 0;    // kept
  int dropped = 0;    // the thread was descheduled meanwhile
};

struct TimingLimits {
  int least_samples = 5;  // 2 where one call takes longer than `seconds`
  int most_samples = 25;
  double seconds = 0.01;          // stop here once there are `least_samples`
  double shortest_sample = 2e-5;  // shorter calls are timed in groups of at least this long
};

// Calls `call(i)` with i = 0, 1, 2, ... so that it can rotate its operands. Samples in which the
// thread was descheduled (involuntary context switches) are dropped, unless nearly all of them are.
Timing time_calls(const std::function<void(int)>& call, const TimingLimits& limits = {});

// The same statistics over times somebody else took.
Timing summarise(std::vector<double> seconds);

long involuntary_switches();  // of the calling thread so far

}  // namespace foretoken::calibrate
