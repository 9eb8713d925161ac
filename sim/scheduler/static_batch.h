// Static batches, as FasterTransformer and early TensorRT-LLM benchmarks run them: a batch is
// formed from what waits when the last one has ended, prompts are padded to the longest, and all
// rows are computed until the longest output ends. The cache holds every row at its padded length.
#pragma once

#include "sim/scheduler/scheduler.h"

namespace foretoken {

class StaticScheduler final : public Scheduler {
 public:
  explicit StaticScheduler(const SchedulerLimits& limits) : Scheduler(limits) {}
  void schedule(StepPlan& plan) override;

 private:
  void form_batch();
  void pad_prefill(StepPlan& plan) const;
  void pad_decode(StepPlan& plan);

  std::int64_t rows_ = 0;     // of the current batch
  std::int64_t longest_ = 0;  // padded prompt
  std::int64_t decoded_ = 0;  // decode steps made
};

}  // namespace foretoken
