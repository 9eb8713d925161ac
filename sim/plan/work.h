// Gets tasks done: outcomes that the store holds are taken from there, the others go to the runner
// and into the store as they come.
#pragma once

#include <functional>
#include <vector>

#include "sim/plan/task.h"

namespace foretoken::plan {

class Work {
 public:
  Work(TaskRunner& runner, OutcomeStore* store) : runner_(runner), store_(store) {}

  // In the order of the tasks. `progress` is called after each, with how many are done.
  std::vector<Outcome> solve(const std::vector<Task>& tasks,
                             const std::function<void(std::size_t)>& progress);
  std::int64_t runs() const { return runs_; }  // simulations of all outcomes

 private:
  TaskRunner& runner_;
  OutcomeStore* store_;
  std::int64_t runs_ = 0;
};

}  // namespace foretoken::plan
