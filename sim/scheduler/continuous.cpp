#include "sim/scheduler/continuous.h"

#include <algorithm>

#include "sim/core/units.h"

namespace foretoken {

void ContinuousScheduler::schedule_running(StepPlan& plan, Step& step, Kind kind) {
  for (std::size_t i = 0; i < running_.size() && step.budget > 0; ++i) {
    const RequestId id = running_[i];
    const Sequence& s = sequence(id);
    const bool decodes = s.decodes();
    const bool wanted = kind == Kind::any || (kind == Kind::decode) == decodes;
    if (s.in_flight || !wanted || (decodes && step.decodes_left == 0)) {
      continue;
    }
    const std::int64_t tokens = std::min(s.known() - s.computed, step.budget);
    const std::size_t before = running_.size();
    if (!make_room(id, tokens, step.preempted)) {
      // Either this request was the one preempted, or all that hold blocks are in flight.
      if (running_.size() == before) {
        continue;
      }
      break;
    }
    step.budget -= tokens;
    step.decodes_left -= decodes ? 1 : 0;
    plan_tokens(plan, id, tokens);
  }
}

bool ContinuousScheduler::admit_blocks(Sequence& s, std::int64_t tokens) {
  if (limits().admission == Admission::reserve_output) {
    return take_blocks(s, s.stored_at_end() - s.computed);
  }
  return take_blocks(s, tokens);
}

void ContinuousScheduler::schedule_waiting(StepPlan& plan, Step& step) {
  while (!waiting_.empty() && step.budget > 0 && slot_free()) {
    const RequestId id = waiting_.front();
    Sequence& s = sequence(id);
    std::int64_t tokens = s.known() - s.computed;
    if (tokens > step.budget) {
      if (!limits().chunked_prefill) {
        break;
      }
      tokens = step.budget;
    }
    if (!admit_blocks(s, tokens)) {
      break;
    }
    admit_front();
    step.budget -= tokens;
    plan_tokens(plan, id, tokens);
  }
}

void ContinuousScheduler::schedule(StepPlan& plan) {
  plan.clear();
  Step step;
  step.budget = limits().max_num_batched_tokens;
  step.decodes_left = ceil_div(running(), limits().micro_batches);
  if (limits().decode_first) {
    schedule_running(plan, step, Kind::decode);
    schedule_running(plan, step, Kind::prompt);
  } else {
    schedule_running(plan, step, Kind::any);
  }
  if (!step.preempted) {
    schedule_waiting(plan, step);
  }
}

}  // namespace foretoken
