// Continuous batching after vLLM's v1 scheduler: running requests first, then waiting ones, under a
// token budget per step; prompts in chunks; KV blocks taken as tokens are computed; when blocks run
// out the request admitted last is preempted and later recomputed from its start, its output so far
// included. Pure decisions: no clock and no events, so that the same code schedules the simulation
// and the real executor. Several steps may be in flight (pipeline parallelism); a request is in at
// most one.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "sim/model/operator.h"

namespace foretoken {

struct SchedulerLimits {
  int max_num_seqs = 256;
  std::int64_t max_num_batched_tokens = 8192;
  int block_size = 16;         // tokens per KV block
  std::int64_t kv_blocks = 0;  // capacity
  bool chunked_prefill = true;
  std::int64_t window = 0;  // sliding window of the model, for BatchShape only; 0: none
};

using RequestId = std::int32_t;

// What one step computes.
struct StepPlan {
  struct Item {
    RequestId request;
    std::int32_t new_tokens;
    std::int64_t context;  // tokens in the KV cache before this step
  };
  std::vector<Item> prefill;      // more than one token, or the last token of a prompt
  std::vector<RequestId> decode;  // one new token each, not of the prompt
  BatchShape shape;
  bool empty() const { return prefill.empty() && decode.empty(); }
  void clear();
};

// What a finished step produced.
struct StepOutcome {
  std::vector<RequestId> first_tokens;  // prompt done: first output token of the request, or the
                                        // next one after a recomputation
  std::vector<RequestId> finished;      // these emitted their last token
  void clear();
};

class Scheduler {
 public:
  explicit Scheduler(SchedulerLimits limits);

  // Whether a request can ever be served: its tokens fit the whole cache, and its prompt the step
  // when prompts are not chunked.
  bool admissible(std::int64_t input_tokens, std::int64_t output_tokens) const;

  // REQUIRES: admissible, output_tokens >= 1, input_tokens >= 1. Ids are given in order from 0.
  RequestId add(std::int64_t input_tokens, std::int64_t output_tokens);

  // Fills `plan` with the next step, empty when nothing can run. Marks its requests as in flight.
  void schedule(StepPlan& plan);
  // The step has been computed: advances its requests and fills `outcome`.
  void complete(const StepPlan& plan, StepOutcome& outcome);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  std::int64_t waiting() const { return static_cast<std::int64_t>(waiting_.size()); }
  std::int64_t running() const { return static_cast<std::int64_t>(running_.size()); }
  std::int64_t free_blocks() const { return free_blocks_; }
  std::int64_t used_blocks() const { return limits_.kv_blocks - free_blocks_; }
  std::int64_t preemptions() const { return preemptions_; }
  std::int64_t blocks_taken() const { return blocks_taken_; }
  std::int64_t blocks_freed() const { return blocks_freed_; }
  std::int64_t generated(RequestId id) const { return sequence(id).generated; }

 private:
  struct Sequence {
    std::int64_t input = 0;
    std::int64_t output = 0;
    std::int64_t computed = 0;   // tokens whose keys and values are in the cache
    std::int64_t generated = 0;  // output tokens emitted
    std::int64_t blocks = 0;
    bool in_flight = false;
    std::int64_t known() const { return input + generated; }
  };

  const Sequence& sequence(RequestId id) const { return sequences_[static_cast<std::size_t>(id)]; }
  Sequence& sequence(RequestId id) { return sequences_[static_cast<std::size_t>(id)]; }

  bool take_blocks(Sequence& sequence, std::int64_t tokens);
  void free_all_blocks(Sequence& sequence);
  // Makes room for `tokens` more of `id` by preempting from the back. False: `id` itself had to go.
  bool make_room(RequestId id, std::int64_t tokens, bool& preempted);
  void preempt_at(std::size_t position);
  void plan_tokens(StepPlan& plan, RequestId id, std::int64_t tokens);
  void schedule_running(StepPlan& plan, std::int64_t& budget, bool& preempted);
  void schedule_waiting(StepPlan& plan, std::int64_t& budget);
  void advance(RequestId id, std::int64_t tokens, StepOutcome& outcome);

  SchedulerLimits limits_;
  std::vector<Sequence> sequences_;
  std::vector<RequestId> running_;  // in the order of admission
  std::deque<RequestId> waiting_;
  std::int64_t free_blocks_ = 0;
  std::int64_t preemptions_ = 0;
  std::int64_t blocks_taken_ = 0;
  std::int64_t blocks_freed_ = 0;
};

}  // namespace foretoken
