// One model instance: a scheduler, the stages of its pipeline, and the virtual clock. Up to one
// step per pipeline stage is in flight; a step passes the stages in order and a stage works on one
// step at a time.
//
// Where replicas share links a step's duration is not known when it starts: its stages then run
// event by event (sim/step/stage_run.h), in the same order.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/cost/cost_model.h"
#include "sim/metrics/metrics.h"
#include "sim/scheduler/schedulers.h"
#include "sim/step/stage_run.h"
#include "sim/step/stage_trace.h"
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
    Recording recording;
    FlowNetwork* network;  // that replicas share; null: each has its links to itself
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
    Time begin = kTimeZero;
    std::int64_t index = 0;  // among the run's steps
    bool traced = false;
    // Where links are shared: what is known of the step so far.
    StepTime time = {};
    Time host = kTimeZero;
    Time host_done = kTimeZero;
    std::size_t stage = 0;
  };
  // In the upper half of an event's payload; the lower half is the slot.
  enum : std::uint64_t {
    kStepDone = 0,
    kStageFree = 1ULL << 32,   // the first stage, without a slot
    kStageBegin = 2ULL << 32,  // the host is ready, or the stage before
    kStageDone = 3ULL << 32,
    kStageLeft = 4ULL << 32  // the host no longer holds the first stage
  };

  void try_start();
  void start(std::size_t slot);
  void start_shared(std::size_t slot);
  void stage_ready(std::size_t slot);
  void stage_done(std::size_t slot);
  void stage_left(std::size_t slot);
  void finish(std::size_t slot);
  bool overlaps(const StepPlan& plan) const;
  void mark_started(const StepPlan& plan);
  void count_step(const StepPlan& plan);
  void count_time(const StepPlan& plan, const StepTime& time);
  bool wants_trace() const;
  void add_trace(StageTrace trace);
  void begin_stage(std::size_t slot);
  void sample(const Slot& slot);
  void emit_token(RequestId id, Time now);
  Estimate host_estimate(const StepPlan& plan) const;
  void add_host_share(StepTime& total, const StepPlan& plan, Time host, bool overlapped) const;

  Shared shared_;
  int index_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::shared_ptr<StepTimer>> stages_;
  std::vector<Time> stage_free_;
  // Where links are shared: the stages at work, and the slots that wait for each.
  std::vector<std::unique_ptr<StageRun>> runs_;
  std::vector<StageTracer> tracers_;
  std::vector<std::deque<std::size_t>> waiting_;
  std::vector<Slot> slots_;
  StepOutcome outcome_;
  std::vector<std::int32_t> request_of_;  // by the scheduler's id
  std::vector<Time> last_token_;          // likewise; never: none yet
  std::int64_t load_ = 0;
};

}  // namespace foretoken
