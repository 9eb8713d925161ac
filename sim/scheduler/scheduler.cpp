#include "sim/scheduler/scheduler.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace foretoken {

void StepPlan::clear() {
  prefill.clear();
  decode.clear();
  shape.prefill.clear();
  shape.decode_sequences = 0;
  shape.decode_kv_tokens = 0;
  shape.decode_kv_tokens_windowed = 0;
  shape.rows = 0;
}

void StepOutcome::clear() {
  first_tokens.clear();
  finished.clear();
}

Scheduler::Scheduler(SchedulerLimits limits) : limits_(limits), free_blocks_(limits.kv_blocks) {
  FT_CHECK(limits.max_num_seqs >= 1 && limits.max_num_batched_tokens >= 1 &&
           limits.block_size >= 1 && limits.kv_blocks >= 0 && limits.micro_batches >= 1);
}

bool Scheduler::admissible(std::int64_t input_tokens, std::int64_t output_tokens) const {
  const std::int64_t stored = input_tokens + output_tokens - 1;
  if (ceil_div(stored, limits_.block_size) > limits_.kv_blocks) {
    return false;
  }
  // A recomputation prefills the output too, so without chunks all of it must fit one step.
  return limits_.chunked_prefill || stored <= limits_.max_num_batched_tokens;
}

RequestId Scheduler::add(std::int64_t input_tokens, std::int64_t output_tokens) {
  FT_CHECK(input_tokens >= 1 && output_tokens >= 1 && admissible(input_tokens, output_tokens));
  const auto id = static_cast<RequestId>(sequences_.size());
  Sequence fresh;
  fresh.input = input_tokens;
  fresh.output = output_tokens;
  sequences_.push_back(fresh);
  waiting_.push_back(id);
  return id;
}

bool Scheduler::take_blocks(Sequence& sequence, std::int64_t tokens) {
  const std::int64_t needed =
      ceil_div(sequence.computed + tokens, limits_.block_size) - sequence.blocks;
  if (needed > free_blocks_) {
    return false;
  }
  if (needed > 0) {
    free_blocks_ -= needed;
    sequence.blocks += needed;
    blocks_taken_ += needed;
  }
  return true;
}

void Scheduler::free_all_blocks(Sequence& sequence) {
  free_blocks_ += sequence.blocks;
  blocks_freed_ += sequence.blocks;
  sequence.blocks = 0;
}

void Scheduler::preempt_at(std::size_t position) {
  const RequestId victim = running_[position];
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(position));
  free_all_blocks(sequence(victim));
  sequence(victim).computed = 0;
  waiting_.push_front(victim);
  ++preemptions_;
}

bool Scheduler::make_room(RequestId id, std::int64_t tokens, bool& preempted) {
  while (!take_blocks(sequence(id), tokens)) {
    // The request admitted last goes first; one that is being computed cannot.
    std::size_t position = running_.size();
    while (position > 0 && sequence(running_[position - 1]).in_flight) {
      --position;
    }
    if (position == 0) {
      return false;
    }
    const RequestId victim = running_[position - 1];
    preempt_at(position - 1);
    preempted = true;
    if (victim == id) {
      return false;
    }
  }
  return true;
}

void Scheduler::plan_tokens(StepPlan& plan, RequestId id, std::int64_t tokens) {
  Sequence& s = sequence(id);
  s.in_flight = true;
  const bool decodes = s.decodes();
  // The logits of an unfinished chunk are computed too, and thrown away (vLLM does the same).
  ++plan.shape.rows;
  if (decodes) {
    plan.decode.push_back(id);
    const std::int64_t cached = s.computed + 1;
    ++plan.shape.decode_sequences;
    plan.shape.decode_kv_tokens += cached;
    plan.shape.decode_kv_tokens_windowed +=
        limits_.window > 0 ? std::min(cached, limits_.window) : cached;
    return;
  }
  plan.prefill.push_back({id, static_cast<std::int32_t>(tokens), s.computed});
  plan.shape.prefill.push_back({tokens, s.computed});
}

void Scheduler::admit_front() {
  running_.push_back(waiting_.front());
  waiting_.pop_front();
}

void Scheduler::advance(RequestId id, std::int64_t tokens, StepOutcome& outcome) {
  Sequence& s = sequence(id);
  s.in_flight = false;
  s.computed += tokens;
  if (s.computed < s.known()) {
    return;
  }
  ++s.generated;
  if (s.generated == s.output) {
    free_all_blocks(s);
    outcome.finished.push_back(id);
  }
}

void Scheduler::complete(const StepPlan& plan, StepOutcome& outcome) {
  outcome.clear();
  for (const StepPlan::Item& item : plan.prefill) {
    const std::int64_t generated = sequence(item.request).generated;
    advance(item.request, item.new_tokens, outcome);
    if (sequence(item.request).generated > generated) {
      outcome.first_tokens.push_back(item.request);
    }
  }
  for (const RequestId id : plan.decode) {
    advance(id, 1, outcome);
  }
  if (!outcome.finished.empty()) {
    std::erase_if(running_,
                  [&](RequestId id) { return sequence(id).generated == sequence(id).output; });
  }
}

}  // namespace foretoken
