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

// Tokens of the prompts that could join a step with `budget` tokens left: those begun, and those
// waiting as far as slots and blocks go.
std::int64_t ContinuousScheduler::prompt_tokens(std::int64_t budget) const {
  std::int64_t tokens = 0;
  for (const RequestId id : running_) {
    const Sequence& s = sequence(id);
    tokens += s.in_flight || s.decodes() ? 0 : s.known() - s.computed;
  }
  std::int64_t blocks = free_blocks();
  auto slots = static_cast<std::int64_t>(limits().max_num_seqs) - running();
  for (const RequestId id : waiting_) {
    const Sequence& s = sequence(id);
    const std::int64_t stored =
        limits().admission == Admission::reserve_output ? s.stored_at_end() : s.known();
    blocks -= ceil_div(stored, limits().block_size);
    if (tokens >= budget || slots-- == 0 || blocks < 0) {
      break;
    }
    tokens += s.known();
  }
  return std::min(tokens, budget);
}

bool ContinuousScheduler::prompts_wait(const StepPlan& plan, const Step& step) {
  if (limits().batch_wait_steps == 0 || plan.decode.empty()) {
    return false;
  }
  const std::int64_t prompts = prompt_tokens(step.budget);
  const std::int64_t tokens = plan.shape.decode_sequences + prompts;
  const bool wait = prompts > 0 && tokens < limits().batch_wait_tokens &&
                    steps_waited_ < limits().batch_wait_steps;
  if (prompts > 0) {
    steps_waited_ = wait ? steps_waited_ + 1 : 0;
  }
  return wait;
}

void ContinuousScheduler::schedule(StepPlan& plan) {
  plan.clear();
  Step step;
  step.budget = limits().max_num_batched_tokens;
  step.decodes_left = ceil_div(running(), limits().micro_batches);
  if (limits().decode_first) {
    schedule_running(plan, step, Kind::decode);
    if (prompts_wait(plan, step)) {
      return;
    }
    schedule_running(plan, step, Kind::prompt);
  } else {
    schedule_running(plan, step, Kind::any);
  }
  if (!step.preempted) {
    schedule_waiting(plan, step);
  }
}

}  // namespace foretoken
