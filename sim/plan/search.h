// The search: which deployments meet the targets at the required rate, which of them are worth
// having, and why the others are not.
//
// Configurations that cannot be built, or whose bounds say that they miss, are left out. The others
// are simulated in waves of kWave, cheapest first: each wave leaves out what the plans found before
// it dominate for certain. Waves, not single results, decide what is simulated next, so that the
// answer does not depend on the number of threads or ranks.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/metrics/metrics.h"
#include "sim/plan/front.h"
#include "sim/plan/screen.h"
#include "sim/plan/space.h"
#include "sim/plan/task.h"

namespace foretoken::plan {

inline constexpr std::size_t kWave = 32;

struct SearchOptions {
  int jobs = 0;             // threads of the screening; 0: all cores
  int replications = 16;    // of each row shown; below 2: no intervals
  std::size_t rows = 8;     // of the front that get intervals and failures
  bool exhaustive = false;  // simulate everything that can be built, for tests of the pruning
  // `what` is done `done` times out of about `total`.
  std::function<void(const char* what, std::size_t done, std::size_t total)> progress;
};

struct PlanIntervals {
  Interval ttft, tpot, e2e;  // seconds
  Interval rate;             // highest that meets the targets, requests per second
  int meets = 0;             // replications that meet the targets at the required rate
};

struct AfterFailure {
  int replicas = 0;  // left
  double rate = 0;   // highest that meets the targets; 0: none of the ladder
};

struct PlanRow {
  std::size_t configuration = 0;
  double cost = 0;
  int gpus = 0;
  Outcome outcome;
  double latency = 0;  // worst share of a target, at the required rate
  double rate = 0;     // highest that meets the targets, requests per second
  // Only of the rows shown.
  bool shown = false;
  std::optional<PlanIntervals> intervals;
  AfterFailure gpu_fails, node_fails;
};

struct RunnerUp {
  std::size_t configuration = 0;
  Fate fate = Fate::missed;
  double cost = 0;
  std::string reason;
};

struct Obstacle {
  std::string limit;                  // the key that binds: "plan.gpus", "slo.ttft", ...
  std::string finding;                // what the best configuration reaches
  std::vector<std::string> remedies;  // what would lift it
  std::optional<std::size_t> closest;
};

struct PlanResult {
  std::vector<Screened> screened;           // of every configuration, with its final fate
  std::map<std::size_t, Outcome> outcomes;  // of those simulated in the search
  std::array<std::size_t, kFateCount> fates{};
  std::int64_t runs = 0;       // simulations, those of intervals and failures included
  std::vector<PlanRow> front;  // by cost, then latency; empty: no plan meets the targets
  std::size_t cheapest = 0;    // into `front`
  std::vector<RunnerUp> runners_up;
  std::optional<Obstacle> obstacle;  // set when the front is empty
  int replications = 0;
  double level = 0.9;  // of the intervals
};

// `store` may be null.
PlanResult search(const Space& space, TaskRunner& runner, OutcomeStore* store,
                  const SearchOptions& options);

}  // namespace foretoken::plan
