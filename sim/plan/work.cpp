#include "sim/plan/work.h"

namespace foretoken::plan {

std::vector<Outcome> Work::solve(const std::vector<Task>& tasks,
                                 const std::function<void(std::size_t)>& progress) {
  std::vector<Outcome> outcomes(tasks.size());
  std::vector<Task> open;
  std::vector<std::size_t> place;  // of each open task
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (const auto known = store_ != nullptr ? store_->find(tasks[i]) : std::nullopt) {
      outcomes[i] = *known;
    } else {
      open.push_back(tasks[i]);
      place.push_back(i);
    }
  }
  std::size_t done = tasks.size() - open.size();
  runner_.run(open, [&](std::size_t i, const Outcome& outcome) {
    outcomes[place[i]] = outcome;
    if (store_ != nullptr) {
      store_->add(open[i], outcome);
    }
    progress(++done);
  });
  for (const Outcome& outcome : outcomes) {
    runs_ += outcome.runs;
  }
  return outcomes;
}

}  // namespace foretoken::plan
