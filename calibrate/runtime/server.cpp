#include "calibrate/runtime/server.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "sim/core/error.h"
#include "sim/core/random.h"
#include "sim/scheduler/schedulers.h"

namespace foretoken::runtime {
namespace {

using Clock = std::chrono::steady_clock;

Time since(Clock::time_point start) {
  const auto elapsed = Clock::now() - start;
  return Time(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count() * 1000);
}

// Sleeps most of the way and spins the rest: a timer wakes some tens of microseconds late.
void wait_until(Clock::time_point start, Time when) {
  constexpr Time kSpin = Time(200'000'000);
  const Time left = when - since(start);
  if (left > kSpin) {
    std::this_thread::sleep_for(std::chrono::nanoseconds((left - kSpin).count() / 1000));
  }
  while (since(start) < when) {
  }
}

// One step's share of the record: operators by family, the rest of the time is the host's.
void add_step(RunRecord& record, const StepPlan& plan, const StepResult& result, double seconds) {
  TimeShare& share = plan.prefill.empty() ? record.decode_steps : record.prefill_steps;
  double host = seconds;
  for_each_operator(result, [&](const Operator& op, double taken) {
    share.add(op.family, Provenance::measured, time_from_seconds(taken));
    host -= taken;
  });
  share.add(OpFamily::host, Provenance::measured, time_from_seconds(std::max(0.0, host)));
  ++record.steps;
  record.prefill_step_count += plan.prefill.empty() ? 0 : 1;
  record.scheduled_tokens += plan.shape.tokens();
  record.decode_tokens += plan.shape.decode_sequences;
}

}  // namespace

std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::int64_t index, std::int64_t tokens,
                                        std::int64_t vocab) {
  RandomStream random(seed, "runtime.prompt", static_cast<std::uint64_t>(index));
  std::vector<std::int32_t> prompt(static_cast<std::size_t>(tokens));
  for (std::int32_t& token : prompt) {
    token = static_cast<std::int32_t>(random.uniform_int(0, vocab - 1));
  }
  return prompt;
}

Server::Server(Executor& executor, const SchedulerLimits& limits, std::int64_t vocab,
               kernels::Transport* transport, std::uint64_t seed)
    : executor_(executor), limits_(limits), vocab_(vocab), transport_(transport), seed_(seed) {
  FT_CHECK(limits.block_size == kernels::kKvBlockTokens && limits.micro_batches == 1 &&
           limits.batching != Batching::static_batch);
}

SequenceStep Server::next_step(RequestId id, std::int64_t context, std::int64_t count) {
  Sequence& sequence = sequences_[static_cast<std::size_t>(id)];
  const auto blocks = static_cast<std::size_t>(ceil_div(context + count, limits_.block_size));
  while (sequence.blocks.size() < blocks) {
    FT_CHECK(!free_blocks_.empty(), "the scheduler promised a block that is not free");
    sequence.blocks.push_back(free_blocks_.back());
    free_blocks_.pop_back();
  }
  const auto first = sequence.tokens.begin() + context;
  return {{first, first + count}, context, sequence.blocks};
}

void Server::give_back(Sequence& sequence) {
  free_blocks_.insert(free_blocks_.end(), sequence.blocks.rbegin(), sequence.blocks.rend());
  sequence.blocks.clear();
}

StepInput Server::input_of(const StepPlan& plan) {
  for (std::size_t id = 0; id < sequences_.size(); ++id) {
    if (!sequences_[id].blocks.empty() && scheduler_->blocks(static_cast<RequestId>(id)) == 0) {
      give_back(sequences_[id]);  // finished or preempted
    }
  }
  StepInput input;
  for (const StepPlan::Item& item : plan.prefill) {
    input.prefill.push_back(next_step(item.request, item.context, item.new_tokens));
  }
  for (const RequestId id : plan.decode) {
    const auto known =
        static_cast<std::int64_t>(sequences_[static_cast<std::size_t>(id)].tokens.size());
    input.decode.push_back(next_step(id, known - 1, 1));
  }
  return input;
}

ServedRun Server::serve(const Workload& workload, const StepObserver& observer) {
  FT_CHECK(workload.concurrency == 0, "closed loops are not served");
  scheduler_ = make_scheduler(limits_);
  sequences_.clear();
  free_blocks_.resize(static_cast<std::size_t>(limits_.kv_blocks));
  for (std::size_t i = 0; i < free_blocks_.size(); ++i) {
    free_blocks_[i] = static_cast<std::int32_t>(free_blocks_.size() - 1 - i);
  }
  ServedRun run;
  RunRecord& record = run.record;
  record.kv_blocks = limits_.kv_blocks;
  std::vector<std::vector<std::int32_t>> prompts;
  for (const Request& request : workload.requests) {
    record.requests.push_back(
        {request.arrival, kTimeNever, kTimeNever, request.input_tokens, request.output_tokens, 0});
    prompts.push_back(random_prompt(seed_, static_cast<std::int64_t>(prompts.size()),
                                    request.input_tokens, vocab_));
  }
  const auto count = static_cast<std::int64_t>(workload.requests.size());
  std::vector<Time> last(workload.requests.size(), kTimeNever);
  StepPlan plan;
  StepOutcome outcome;
  const Clock::time_point start = Clock::now();
  for (std::int64_t next = 0, finished = 0; finished < count;) {
    const Time now = since(start);
    for (; next < count && record.requests[static_cast<std::size_t>(next)].arrival <= now; ++next) {
      const RequestRecord& request = record.requests[static_cast<std::size_t>(next)];
      scheduler_->add(request.input_tokens, request.output_tokens);
      std::vector<std::int32_t>& prompt = prompts[static_cast<std::size_t>(next)];
      sequences_.push_back({std::move(prompt), request.input_tokens, {}});
    }
    if (scheduler_->idle()) {
      wait_until(start, record.requests[static_cast<std::size_t>(next)].arrival);
      continue;
    }
    scheduler_->schedule(plan);
    const StepInput input = input_of(plan);
    if (transport_ != nullptr) {
      send_step(*transport_, input);
    }
    const StepResult result = executor_.step(input);
    const Time done = since(start);
    const auto emit = [&](RequestId id, std::size_t row) {
      const auto index = static_cast<std::size_t>(id);
      sequences_[index].tokens.push_back(result.tokens[row]);
      if (last[index] == kTimeNever) {
        record.requests[index].first_token = done;
      } else {
        record.gaps.emplace_back(done - last[index], 1);
      }
      last[index] = done;
    };
    scheduler_->complete(plan, outcome);
    for (const RequestId id : outcome.first_tokens) {
      const auto item = std::find_if(plan.prefill.begin(), plan.prefill.end(),
                                     [&](const auto& i) { return i.request == id; });
      emit(id, static_cast<std::size_t>(item - plan.prefill.begin()));
    }
    for (std::size_t i = 0; i < plan.decode.size(); ++i) {
      emit(plan.decode[i], plan.prefill.size() + i);
    }
    for (const RequestId id : outcome.finished) {
      record.requests[static_cast<std::size_t>(id)].finish = done;
      record.end = done;
      ++finished;
    }
    const double seconds = to_seconds(since(start) - now);
    add_step(record, plan, result, seconds);
    if (observer) {
      observer(input, result, seconds);
    }
  }
  record.preemptions = scheduler_->preemptions();
  for (const Sequence& sequence : sequences_) {
    run.tokens.emplace_back(sequence.tokens.begin() + sequence.prompt, sequence.tokens.end());
  }
  return run;
}

void follow(Executor& executor, kernels::Transport& transport) {
  while (true) {
    const StepInput input = receive_step(transport);
    if (input.prefill.empty() && input.decode.empty()) {
      return;
    }
    executor.step(input);
  }
}

}  // namespace foretoken::runtime
