// Serves requests for real: the scheduler of sim/scheduler, the very code that the simulator uses,
// driven by the real clock, its steps run by an Executor (and by its peers on other ranks).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "calibrate/runtime/executor.h"
#include "sim/metrics/metrics.h"
#include "sim/scheduler/scheduler.h"
#include "sim/serving/workload.h"

namespace foretoken::runtime {

struct ServedRun {
  RunRecord record;                               // as the simulator leaves one behind
  std::vector<std::vector<std::int32_t>> tokens;  // generated, by request
};

// Called after every step with what it computed and how long all of it took, host work included.
using StepObserver = std::function<void(const StepInput&, const StepResult&, double seconds)>;

class Server {
 public:
  // Rank 0 of a group. `transport` is null for one rank. The executor must have limits.kv_blocks
  // blocks. Random prompts are drawn from `seed`.
  Server(Executor& executor, const SchedulerLimits& limits, std::int64_t vocab,
         kernels::Transport* transport, std::uint64_t seed);

  // The whole workload, from an idle server to the last token. Requests enter when the real clock
  // has reached their arrival. REQUIRES: an open workload whose requests are all admissible.
  ServedRun serve(const Workload& workload, const StepObserver& observer = {});

 private:
  struct Sequence {
    std::vector<std::int32_t> tokens;  // prompt, then what was generated
    std::int64_t prompt = 0;
    std::vector<std::int32_t> blocks;
  };
  SequenceStep next_step(RequestId id, std::int64_t context, std::int64_t count);
  StepInput input_of(const StepPlan& plan);
  void give_back(Sequence& sequence);

  Executor& executor_;
  SchedulerLimits limits_;
  std::int64_t vocab_;
  kernels::Transport* transport_;
  std::uint64_t seed_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Sequence> sequences_;  // by the scheduler's id
  std::vector<std::int32_t> free_blocks_;
};

// What every other rank does meanwhile: runs steps until rank 0 says that there are no more.
void follow(Executor& executor, kernels::Transport& transport);

// The prompt of request `index`: the same wherever it is computed.
std::vector<std::int32_t> random_prompt(std::uint64_t seed, std::int64_t index, std::int64_t tokens,
                                        std::int64_t vocab);

}  // namespace foretoken::runtime
