#include "calibrate/bench/timing.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>

namespace foretoken::calibrate {
namespace {

// Calls that fit into the shortest sample worth timing.
int calls_per_sample(const std::function<void(int)>& call, double shortest, int& next) {
  int calls = 1;
  while (true) {
    const double start = now_seconds();
    for (int i = 0; i < calls; ++i) {
      call(next++);
    }
    const double elapsed = now_seconds() - start;
    if (elapsed >= shortest || calls >= 4096) {
      return calls;
    }
    calls = std::max(calls * 2, static_cast<int>(calls * shortest / std::max(elapsed, 1e-9)));
  }
}

double quantile(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<std::size_t>(std::lround(q * static_cast<double>(sorted.size() - 1)))];
}

}  // namespace

long involuntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

Timing summarise(std::vector<double> seconds) {
  Timing timing;
  if (seconds.empty()) {
    return timing;
  }
  std::sort(seconds.begin(), seconds.end());
  timing.best = seconds.front();
  timing.lower = quantile(seconds, 0.25);
  timing.median = quantile(seconds, 0.5);
  timing.p90 = quantile(seconds, 0.9);
  timing.spread = (quantile(seconds, 0.75) - quantile(seconds, 0.25)) / timing.median;
  timing.samples = static_cast<int>(seconds.size());
  return timing;
}

Timing time_calls(const std::function<void(int)>& call, const TimingLimits& limits) {
  int next = 0;
  const double first = now_seconds();
  call(next++);  // touches pages and fills caches of code
  // A call that takes long needs no grouping, and its second run is as good as its third.
  const double once = now_seconds() - first;
  const bool is_long = once > 50 * limits.shortest_sample;
  const int least_samples = is_long && once > limits.seconds ? 2 : limits.least_samples;
  const int calls = is_long ? 1 : calls_per_sample(call, limits.shortest_sample, next);
  std::vector<double> clean, disturbed;
  const double begin = now_seconds();
  while (static_cast<int>(clean.size()) < limits.most_samples) {
    const auto taken = static_cast<int>(clean.size() + disturbed.size());
    if (taken >= least_samples && now_seconds() - begin > limits.seconds &&
        (static_cast<int>(clean.size()) >= least_samples || taken >= 4 * least_samples)) {
      break;
    }
    const long switches = involuntary_switches();
    const double start = now_seconds();
    for (int i = 0; i < calls; ++i) {
      call(next++);
    }
    const double each = (now_seconds() - start) / calls;
    (involuntary_switches() == switches ? clean : disturbed).push_back(each);
  }
  const auto dropped = static_cast<int>(disturbed.size());
  if (clean.size() < 2) {
    clean.insert(clean.end(), disturbed.begin(), disturbed.end());
  }
  Timing timing = summarise(std::move(clean));
  timing.dropped = dropped;
  return timing;
}

}  // namespace foretoken::calibrate
