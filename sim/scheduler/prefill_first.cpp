#include "sim/scheduler/prefill_first.h"

#include <algorithm>
#include <cmath>

#include "sim/core/units.h"

namespace foretoken {

// Blocks this request is expected to hold beyond those it has.
std::int64_t PrefillFirstScheduler::expected_blocks(const Sequence& s) const {
  const auto coming =
      static_cast<std::int64_t>(std::floor(share_ * static_cast<double>(s.output - s.generated)));
  const std::int64_t tokens = std::min(s.known() + coming, s.stored_at_end());
  return std::max<std::int64_t>(0, ceil_div(tokens, limits().block_size) - s.blocks);
}

bool PrefillFirstScheduler::fits(const Sequence& candidate) const {
  std::int64_t needed = expected_blocks(candidate);
  for (const RequestId id : running_) {
    needed += expected_blocks(sequence(id));
  }
  // An empty engine takes any admissible request: nothing else could free blocks for it.
  return needed <= free_blocks() || running_.empty();
}

void PrefillFirstScheduler::schedule_prompts(StepPlan& plan) {
  std::int64_t budget = limits().max_num_batched_tokens;
  for (const RequestId id : running_) {
    Sequence& s = sequence(id);
    const std::int64_t tokens = std::min(s.known() - s.computed, budget);
    if (s.in_flight || s.decodes() || tokens == 0 || !take_blocks(s, tokens)) {
      continue;
    }
    budget -= tokens;
    plan_tokens(plan, id, tokens);
  }
  while (!waiting_.empty() && budget > 0 && slot_free() && fits(sequence(waiting_.front()))) {
    const RequestId id = waiting_.front();
    Sequence& s = sequence(id);
    std::int64_t tokens = s.known();
    if (tokens > budget && !limits().chunked_prefill) {
      break;
    }
    tokens = std::min(tokens, budget);
    if (!take_blocks(s, tokens)) {
      break;
    }
    admit_front();
    budget -= tokens;
    plan_tokens(plan, id, tokens);
  }
}

void PrefillFirstScheduler::schedule_decodes(StepPlan& plan) {
  const std::int64_t before = preemptions();
  bool preempted = false;
  std::int64_t left = ceil_div(running(), limits().micro_batches);
  for (std::size_t i = 0; i < running_.size() && left > 0; ++i) {
    const RequestId id = running_[i];
    if (sequence(id).in_flight || !sequence(id).decodes()) {
      continue;
    }
    const std::size_t count = running_.size();
    if (make_room(id, 1, preempted)) {
      plan_tokens(plan, id, 1);
      --left;
    } else if (running_.size() != count) {
      break;  // this request was the last and went itself
    }
  }
  if (preemptions() > before) {
    share_ = kFirstShare;
  } else if (!plan.empty()) {
    share_ = std::max(kLeastShare, share_ - (kFirstShare - kLeastShare) / kDecaySteps);
  }
}

void PrefillFirstScheduler::schedule(StepPlan& plan) {
  plan.clear();
  schedule_prompts(plan);
  if (plan.empty()) {
    schedule_decodes(plan);
  }
  if (plan.empty() && std::none_of(running_.begin(), running_.end(),
                                   [&](RequestId id) { return sequence(id).in_flight; })) {
    // Prompts that started hold all blocks: the last one steps back for the others.
    while (plan.empty() && !running_.empty()) {
      preempt_at(running_.size() - 1);
      share_ = kFirstShare;
      schedule_prompts(plan);
    }
  }
}

}  // namespace foretoken
