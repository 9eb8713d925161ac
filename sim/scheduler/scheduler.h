// Batching: which tokens of which requests the next step computes. Pure decisions: no clock and no
// events, so that the same code schedules the simulation and the real executor. Several steps may
// be in flight (pipeline parallelism); a request is in at most one.
//
// This base keeps the books: requests, their tokens and KV blocks. An engine's rule is one derived
// class (sim/scheduler/schedulers.h lists them); engines that differ in numbers only share one.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "sim/model/operator.h"
#include "sim/spec/engine.h"

namespace foretoken {

struct SchedulerLimits {
  int max_num_seqs = 256;
  std::int64_t max_num_batched_tokens = 8192;
  int block_size = 16;         // tokens per KV block
  std::int64_t kv_blocks = 0;  // capacity
  bool chunked_prefill = true;
  std::int64_t window = 0;  // sliding window of the model, for BatchShape only; 0: none
  Batching batching = Batching::continuous;
  Admission admission = Admission::prompt;
  bool decode_first = false;
  // Steps that share the running requests: a step takes at most ceil(running / this) decodes. 1:
  // all.
  int micro_batches = 1;
  // While decodes run, prompts wait until a step would hold so many tokens, but at most so many
  // steps in a row. 0: they never wait. Continuous batching only.
  std::int64_t batch_wait_tokens = 0;
  int batch_wait_steps = 0;
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
  BatchShape shape;               // what is computed, padding included
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
  virtual ~Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Whether a request can ever be served: its tokens fit the whole cache, and its prompt the step
  // when prompts are not chunked.
  bool admissible(std::int64_t input_tokens, std::int64_t output_tokens) const;

  // REQUIRES: admissible, output_tokens >= 1, input_tokens >= 1. Ids are given in order from 0.
  RequestId add(std::int64_t input_tokens, std::int64_t output_tokens);

  // Fills `plan` with the next step, empty when nothing can run. Marks its requests as in flight.
  // CONTRACT: with work waiting and nothing in flight, the plan is not empty.
  virtual void schedule(StepPlan& plan) = 0;
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
  // KV blocks that the request holds: none before it runs, after it ended and while preempted.
  std::int64_t blocks(RequestId id) const { return sequence(id).blocks; }

 protected:
  struct Sequence {
    std::int64_t input = 0;
    std::int64_t output = 0;
    std::int64_t computed = 0;   // tokens whose keys and values are in the cache
    std::int64_t generated = 0;  // output tokens emitted
    std::int64_t blocks = 0;
    bool in_flight = false;
    std::int64_t known() const { return input + generated; }
    // The last output token is emitted but never stored.
    std::int64_t stored_at_end() const { return input + output - 1; }
    bool decodes() const { return computed >= input && known() - computed == 1; }
  };

  explicit Scheduler(SchedulerLimits limits);

  const Sequence& sequence(RequestId id) const { return sequences_[static_cast<std::size_t>(id)]; }
  Sequence& sequence(RequestId id) { return sequences_[static_cast<std::size_t>(id)]; }
  const SchedulerLimits& limits() const { return limits_; }
  bool slot_free() const { return static_cast<int>(running_.size()) < limits_.max_num_seqs; }

  // Blocks for `tokens` more than are computed. False, and nothing taken: not enough are free.
  bool take_blocks(Sequence& sequence, std::int64_t tokens);
  void free_all_blocks(Sequence& sequence);
  // The running request at `position` gives its blocks back and waits, first in line.
  void preempt_at(std::size_t position);
  // Makes room for `tokens` more of `id` by preempting from the back. False: `id` itself had to go.
  bool make_room(RequestId id, std::int64_t tokens, bool& preempted);
  void plan_tokens(StepPlan& plan, RequestId id, std::int64_t tokens);
  // The first waiting request runs from now on.
  void admit_front();

  std::vector<RequestId> running_;  // in the order of admission
  std::deque<RequestId> waiting_;

 private:
  void advance(RequestId id, std::int64_t tokens, StepOutcome& outcome);

  SchedulerLimits limits_;
  std::vector<Sequence> sequences_;
  std::int64_t free_blocks_ = 0;
  std::int64_t preemptions_ = 0;
  std::int64_t blocks_taken_ = 0;
  std::int64_t blocks_freed_ = 0;
};

}  // namespace foretoken
