// What the driver of a replica tells every rank about one step, and how it travels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/collective/transport.h"
#include "sim/model/operator.h"

namespace foretoken::runtime {

struct SequenceStep {
  std::vector<std::int32_t> tokens;  // new ones; a decode has one
  std::int64_t context = 0;          // tokens in the cache before the step
  std::vector<std::int32_t> blocks;  // of the cache, enough for context + tokens
};

struct StepInput {
  std::vector<SequenceStep> prefill, decode;
  // As the scheduler states it. `window`: the model's, 0 for none.
  BatchShape shape(std::int64_t window) const;
};

std::vector<std::int32_t> to_words(const StepInput& input);
StepInput from_words(std::span<const std::int32_t> words);

// From rank 0 to all others. An input without sequences says that there will be no further step.
void send_step(kernels::Transport& transport, const StepInput& input);
StepInput receive_step(kernels::Transport& transport);

}  // namespace foretoken::runtime
