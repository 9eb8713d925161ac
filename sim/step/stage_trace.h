// Turns what a stage does into spans for a trace.
#pragma once

#include "sim/metrics/timeline.h"
#include "sim/step/stage_run.h"

namespace foretoken {

class StageTracer final : public StageObserver {
 public:
  // Times are those of the observed run plus `offset`.
  void begin(int replica, int stage, std::int64_t step, Time now, Time offset);
  // What was seen since begin(); the stage is done `now`.
  StageTrace take(Time now);

  void worked(const StepProgram::Part& part, Time begin, Time end) override;
  void communicated(const CollectiveOp& op, Time begin, Time end) override;
  void transferred(const SchedulePath& path, std::int64_t bytes, Time begin, Time end) override;

 private:
  StageTrace trace_;
  std::vector<TransferSpan> transfers_;  // of the collective under way
  Time offset_ = kTimeZero;
};

// A step of a stage that has its links to itself, from `begin` on: takes what timer.time(batch)
// says.
StageTrace trace_alone(StepTimer& timer, const BatchShape& batch, int replica, int stage,
                       std::int64_t step, Time begin);

}  // namespace foretoken
