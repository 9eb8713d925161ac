// One model instance: a scheduler, the stages of its pipeline, and the virtual clock. Up to one
// step per pipeline stage is in flight; a step passes the stages in order and a stage works on one
// step at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/cost/cost_model.h"
#include "sim/metrics/metrics.h"
#include "sim/scheduler/schedulers.h"
#include "sim/step/step_timer.h"

namespace foretoken {

// Told of every finished request; closed loops send the next one.
class CompletionListener {
 public:
  virtual void finished(std::int32_t request) = 0;

 protected:
  ~CompletionListener() = default;
};

class Replica final : public EventHandler {
 public:
  struct Shared {
    EventQueue& events;
    RunRecord& record;
    CompletionListener& listener;
    const CostModel& cost;
    const CostDraw& draw;
    std::int32_t first_scored;  // requests before this one are warm-up
    HostOverlap overlap;
    bool timeline;  // record the KV use
  };

  Replica(Shared shared, int index, const SchedulerLimits& limits,
          std::vector<std::shared_ptr<StepTimer>> stages);

  // The request has reached the engine's queue.
  void deliver(std::int32_t request);
  // Requests delivered and not finished, and those on their way: what a router balances.
  std::int64_t load() const { return load_; }
  void announce() { ++load_; }

  void handle(std::uint64_t payload) override;
  const Scheduler& scheduler() const { return *scheduler_; }

 private:
  struct Slot {
    StepPlan plan;
    bool busy = false;
  };
  enum : std::uint64_t { kStageFree = 1ULL << 32 };

  void try_start();
  void start(std::size_t slot);
  void finish(std::size_t slot);
  bool overlaps(const StepPlan& plan) const;
  void count_step(const StepPlan& plan, const StepTime& time);
  void emit_token(RequestId id, Time now);
  Estimate host_estimate(const StepPlan& plan) const;
  void add_host_share(StepTime& total, const StepPlan& plan, Time host, bool overlapped) const;

  Shared shared_;
  int index_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::shared_ptr<StepTimer>> stages_;
  std::vector<Time> stage_free_;
  std::vector<Slot> slots_;
  StepOutcome outcome_;
  std::vector<std::int32_t> request_of_;  // by the scheduler's id
  std::vector<Time> last_token_;          // likewise; never: none yet
  std::int64_t load_ = 0;
};

}  // namespace foretoken
