// Continuous batching under a token budget per step: running requests first, then waiting ones,
// prompts in chunks. After vLLM's v1 scheduler; Orca (OSDI 2022), Sarathi-Serve (OSDI 2024) and
// TensorRT-LLM's in-flight batching differ from it in numbers: the order of running requests, what
// is reserved at admission, whether prompts are cut. When blocks run out the request admitted last
// is preempted and later recomputed from its start, its output so far included.
//
// Prompts may be held back while decodes run, so that they share fewer and fuller steps: the rule
// of TensorRT-LLM's executor (batch_wait_max_tokens_ratio, batch_wait_timeout_iters).
#pragma once

#include "sim/scheduler/scheduler.h"

namespace foretoken {

class ContinuousScheduler final : public Scheduler {
 public:
  explicit ContinuousScheduler(const SchedulerLimits& limits) : Scheduler(limits) {}
  void schedule(StepPlan& plan) override;

 private:
  enum class Kind { any, decode, prompt };
  struct Step {
    std::int64_t budget = 0;        // tokens left
    std::int64_t decodes_left = 0;  // of this micro-batch
    bool preempted = false;
  };
  void schedule_running(StepPlan& plan, Step& step, Kind kind);
  void schedule_waiting(StepPlan& plan, Step& step);
  bool admit_blocks(Sequence& sequence, std::int64_t tokens);
  std::int64_t prompt_tokens(std::int64_t budget) const;
  bool prompts_wait(const StepPlan& plan, const Step& step);

  int steps_waited_ = 0;  // since a step last took prompts
};

}  // namespace foretoken
