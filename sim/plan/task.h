// One piece of work of a search, its outcome, and the two seams through which a search gets its
// work done: a runner (threads here, ranks of MPI in sim/mpi) and a store of outcomes (SQLite in
// sim/store), so that neither is needed to plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace foretoken::plan {

// What fails before a deployment is asked for its capacity: the replicas that touch it are gone.
enum class Failure : std::uint8_t { none, gpu, node };

// At a latency level of `level` or more, only rungs of at least `rung` can still be on the front.
struct RungFloor {
  std::int32_t level = 0;
  std::int32_t rung = 0;
  bool operator==(const RungFloor&) const = default;
};

struct Task {
  enum class Kind : std::uint8_t {
    search,    // latencies at the required rate; where targets are met, the highest rung that meets
               // them, unless the floors say that it is of no use
    measure,   // latencies at the required rate, the run not ended early
    capacity,  // the highest rung that meets the targets, above or below 0, after a failure
    replicate  // both with drawn costs
  } kind = Kind::search;
  std::uint32_t configuration = 0;
  std::int32_t high = 0;   // rungs above are known to miss
  std::int32_t guess = 0;  // capacity, replicate: where to begin
  Failure failure = Failure::none;
  std::int32_t replication = 0;  // of `replications`
  std::int32_t replications = 0;
  std::vector<RungFloor> floors;  // search; by level, rising in both
};

struct Outcome {
  bool meets = false;       // every target, at the required rate
  bool abandoned = false;   // search: the floors say that the rung is of no use
  bool overloaded = false;  // at the required rate
  // Share of the requests finished at the required rate before it was clear that a target is
  // missed; 1: the run went to its end. Below 1 the latencies are those up to then.
  double finished = 0;
  std::int32_t rung = 0;  // highest that meets the targets; below the ladder: none does
  std::int32_t runs = 0;  // simulations
  double ttft = 0, tpot = 0, e2e = 0;  // seconds, at the targets' percentile and required rate
  double output_throughput = 0;        // tokens per second, at the required rate
  std::int64_t peak_running = 0;       // requests at once in a replica
  bool operator==(const Outcome&) const = default;
};

class TaskRunner {
 public:
  virtual ~TaskRunner() = default;
  // Calls `done` once for each task, in any order, from one thread at a time.
  virtual void run(std::span<const Task> tasks,
                   const std::function<void(std::size_t, const Outcome&)>& done) = 0;
};

// Outcomes of one search, kept as they come. A task is known by its kind, configuration, failure
// and replication: the rest follows from what was found before it.
class OutcomeStore {
 public:
  virtual ~OutcomeStore() = default;
  virtual std::optional<Outcome> find(const Task& task) const = 0;
  // REQUIRES: find(task) is empty.
  virtual void add(const Task& task, const Outcome& outcome) = 0;
};

}  // namespace foretoken::plan
