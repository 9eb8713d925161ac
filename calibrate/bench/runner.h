// Runs many cases on a machine that is not ours alone.
//
// A first sweep visits all cases in shuffled order, then rounds visit those again that lack two
// quiet passes that agree, until there are none or time is up: what disturbs the machine for a
// while hits some passes of many cases instead of all passes of some. A sentinel kernel says how
// fast the machine is right now: passes in which it was slow before or after do not count, and a
// case waits for a quiet moment. Clocks drift for all alike: times are stated at the pace that the
// sentinel has usually (pace.h). Everything goes into the journal.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "calibrate/bench/bench_case.h"
#include "calibrate/bench/journal.h"

namespace foretoken::calibrate {

struct RunnerOptions {
  double budget = 60;  // s
  double seconds_per_pass = 0.01;
  double quiet = 1.06;  // the sentinel may be this much slower than it usually is (pace.h)
  // Set by a signal: no further pass is begun.
  const std::atomic<bool>* stop = nullptr;
};

struct CaseResult {
  std::string family;
  std::vector<std::int64_t> shape;
  // Median of the quiet passes, of those that agree with the fastest where enough do; the least
  // where none was quiet. At the usual pace.
  double seconds = 0;
  double least = 0, p90 = 0;
  int passes = 0;
  int quiet_passes = 0;
  bool settled =
      false;  // the fastest two quiet passes (three on two cores) agree, or there are many
  std::vector<double> pass_seconds;
};

struct RunResult {
  std::vector<CaseResult> cases;  // those with at least one pass
  int missing = 0;                // cases without any: time was up
  bool stopped = false;           // by the signal
  double repeatability = 0;       // sd of the logarithm of a quiet pass about its case's median
};

// `family` at hand, share of the work done, seconds left.
using RunProgress = std::function<void(const std::string& family, double share, double left)>;

// `sentinel` runs a fixed kernel on so many cores at once and returns the seconds of the slowest;
// it may first move to a quieter core.
using Sentinel = std::function<double(int cores)>;

RunResult run_cases(const std::vector<BenchCase>& cases, const RunnerOptions& options,
                    const Sentinel& sentinel, Journal& journal, const RunProgress& progress);

// The same from what the journal holds alone. Pure.
RunResult summarise_passes(const std::vector<PassResult>& passes, double quiet);

}  // namespace foretoken::calibrate
