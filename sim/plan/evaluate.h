// Does one task: simulations of one configuration at several rates. A function of the problem and
// the task alone.
#pragma once

#include "sim/plan/space.h"
#include "sim/plan/task.h"
#include "sim/serving/placement.h"

namespace foretoken::plan {

// Safe to call from several threads. REQUIRES: the configuration can be built (screen()).
Outcome evaluate(const Space& space, const Task& task);

// The workload with its arrivals at `rate` in place of `base`: the same requests, nearer or further
// apart.
Workload at_rate(const Workload& workload, double base, double rate);

// Replicas that a failure takes, by index: those of GPU 0 of replica 0, or of the node on which
// most replicas have a GPU (the first of equals).
std::vector<std::size_t> lost_replicas(const std::vector<ReplicaPlacement>& replicas,
                                       const Topology& topology, Failure failure);

// The tasks of a search on the threads of this process.
class ThreadRunner final : public TaskRunner {
 public:
  ThreadRunner(const Space& space, int jobs) : space_(space), jobs_(jobs) {}
  void run(std::span<const Task> tasks,
           const std::function<void(std::size_t, const Outcome&)>& done) override;

 private:
  const Space& space_;
  int jobs_;
};

}  // namespace foretoken::plan
