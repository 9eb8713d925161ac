#include "sim/scheduler/static_batch.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace foretoken {

// As many waiting requests as slots, the token budget and the cache hold, each padded to the
// longest prompt and the longest output. A single request always goes: it was admissible.
void StaticScheduler::form_batch() {
  std::int64_t longest_output = 0;
  rows_ = longest_ = decoded_ = 0;
  for (const RequestId id : waiting_) {
    const Sequence& s = sequence(id);
    const std::int64_t prompt = std::max(longest_, s.input);
    const std::int64_t output = std::max(longest_output, s.output);
    const std::int64_t blocks = ceil_div(prompt + output - 1, limits().block_size);
    const std::int64_t rows = rows_ + 1;
    const bool fits =
        rows <= limits().max_num_seqs && rows * blocks <= free_blocks() &&
        (limits().chunked_prefill || rows * prompt <= limits().max_num_batched_tokens);
    if (!fits && rows_ > 0) {
      break;
    }
    rows_ = rows;
    longest_ = prompt;
    longest_output = output;
  }
  for (std::int64_t row = 0; row < rows_; ++row) {
    Sequence& s = sequence(waiting_.front());
    const bool taken = take_blocks(s, longest_ + longest_output - 1);
    FT_CHECK(taken, "a batch was formed that does not fit");
    admit_front();
  }
}

void StaticScheduler::pad_prefill(StepPlan& plan) const {
  for (PrefillChunk& chunk : plan.shape.prefill) {
    chunk.new_tokens = longest_;
  }
}

// Rows that have ended are still computed, over the padded cache.
void StaticScheduler::pad_decode(StepPlan& plan) {
  ++decoded_;
  const std::int64_t cached = longest_ + decoded_;
  plan.shape.rows = rows_;
  plan.shape.decode_sequences = rows_;
  plan.shape.decode_kv_tokens = rows_ * cached;
  plan.shape.decode_kv_tokens_windowed =
      rows_ * (limits().window > 0 ? std::min(cached, limits().window) : cached);
}

void StaticScheduler::schedule(StepPlan& plan) {
  plan.clear();
  if (running_.empty()) {
    form_batch();
    for (const RequestId id : running_) {
      plan_tokens(plan, id, sequence(id).input);
    }
    pad_prefill(plan);
    return;
  }
  if (sequence(running_.front()).in_flight) {
    return;  // one batch, so one step at a time
  }
  for (const RequestId id : running_) {
    plan_tokens(plan, id, 1);
  }
  pad_decode(plan);
}

}  // namespace foretoken
