// A model at work on this machine: an Executor for every rank of the tensor group, rank 0 here and
// the others in child processes.
#pragma once

#include <optional>
#include <string>

#include "calibrate/runtime/executor.h"
#include "calibrate/runtime/rank_group.h"

namespace foretoken::runtime {

class Engine {
 public:
  // Both references must outlive this. `wire` as in RankGroup.
  Engine(const GraphBuilder& builder, const WeightSource& weights, const ExecutorLimits& limits,
         const std::optional<std::string>& wire);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Executor& executor() { return *executor_; }
  kernels::Transport* transport() { return group_.transport(); }
  std::vector<int> cores() const { return group_.cores(); }

  struct Step {
    StepResult result;
    double seconds = 0;  // all of it, the message to the other ranks included
  };
  Step step(const StepInput& input);

 private:
  RankGroup group_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace foretoken::runtime
