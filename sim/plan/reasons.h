// Why configurations lost, in words, and what stands in the way when none meets the targets.
#pragma once

#include <vector>

#include "sim/plan/search.h"
#include "sim/plan/work.h"

namespace foretoken::plan {

// The nearest misses among cheaper configurations and the best of those that meet the targets but
// lost to the cheapest plan. Simulates the misses that it
// names once more, to the end. REQUIRES: the front is not empty.
std::vector<RunnerUp> runners_up(const Space& space, const PlanResult& result, Work& work);

// Which limit binds. Simulates a little more: plans beyond plan.gpus and plan.budget, and the rates
// that the best configurations do reach. REQUIRES: the front is empty.
Obstacle obstacle(const Space& space, const PlanResult& result, Work& work,
                  const SearchOptions& options);

}  // namespace foretoken::plan
