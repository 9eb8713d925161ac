// One pipeline stage at work beside others: its step's operators one after the other in virtual
// time, its collectives as flows on a network that all replicas share. What StepTimer::time() adds
// up for a stage that has its links to itself happens here event by event, so that flows of other
// replicas slow a collective down where they cross its links.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "sim/core/event_queue.h"
#include "sim/network/flow_network.h"
#include "sim/network/schedule.h"
#include "sim/step/step_timer.h"

namespace foretoken {

// Told of everything a stage does, as it ends. Collectives may end after work that runs beside them
// has begun (overlap).
class StageObserver : public TransferObserver {
 public:
  // The work of the part, one operator after the other, ending at `end`.
  virtual void worked(const StepProgram::Part& part, Time begin, Time end) = 0;
  // Transfers of this collective came before.
  virtual void communicated(const CollectiveOp& op, Time begin, Time end) = 0;
};

class StageRun final : private EventHandler {
 public:
  // All must outlive this. `network` has the capacities of timer.link_capacity().
  StageRun(StepTimer& timer, EventQueue& events, FlowNetwork& network);

  // Begins now; `done` is told `payload` when the last operator is. REQUIRES: not running.
  void start(const BatchShape& batch, EventHandler& done, std::uint64_t payload);
  // None: null. The observer must outlive what it observes. REQUIRES: not running.
  void observe(StageObserver* observer) { observer_ = observer; }
  bool running() const { return running_; }
  // Of the step that has ended last. Alone on its links it is what timer.time(batch) says.
  const StepTime& time() const { return time_; }

 private:
  enum class Event : std::uint64_t { work_done, launched, collective_done };

  void handle(std::uint64_t payload) override;
  void begin_part();
  void begin_collective();
  void end_collective();
  void end_part();
  void end_step();
  const StepProgram::Part& part() const { return program_.runs[run_].parts[part_]; }
  bool advance();  // to the next part; false: there is none
  void schedule(Time after, Event event);

  StepTimer* timer_;
  EventQueue* events_;
  FlowNetwork* network_;
  EventHandler* done_ = nullptr;
  StageObserver* observer_ = nullptr;
  std::uint64_t payload_ = 0;
  StepProgram program_;
  std::size_t run_ = 0;
  std::size_t part_ = 0;
  int repeat_ = 0;
  bool running_ = false;
  Time collective_began_ = kTimeZero;
  Time done_before_ = kTimeZero;  // of the part's work, beside the collective before it
  std::optional<ScheduleRun> flows_;
  StepTime time_;
};

}  // namespace foretoken
