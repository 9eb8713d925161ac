// SGLang's default scheduler: a step holds prompts or decodes, and prompts go first. Waiting
// requests are admitted while their prompt and a share of the output still to come of all running
// requests would fit the cache; that share starts high, falls with every decode step and returns
// when the guess was wrong and a request had to be retracted (sglang: new_token_ratio,
// schedule_policy.py). One prompt may be cut at the end of the budget; its rest goes first in the
// next step.
#pragma once

#include "sim/scheduler/scheduler.h"

namespace foretoken {

class PrefillFirstScheduler final : public Scheduler {
 public:
  explicit PrefillFirstScheduler(const SchedulerLimits& limits) : Scheduler(limits) {}
  void schedule(StepPlan& plan) override;

  // sglang's defaults: 0.7 at first, at least 0.14 x 0.7, falling over 600 decode steps.
  static constexpr double kFirstShare = 0.7;
  static constexpr double kLeastShare = 0.7 * 0.14;
  static constexpr int kDecaySteps = 600;

 private:
  void schedule_prompts(StepPlan& plan);
  void schedule_decodes(StepPlan& plan);
  // Whether `candidate` fits beside what the running requests are expected to grow to.
  bool fits(const Sequence& candidate) const;
  std::int64_t expected_blocks(const Sequence& s) const;

  double share_ = kFirstShare;
};

}  // namespace foretoken
