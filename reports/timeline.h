// A run's steps as a few hundred points over time.
#pragma once

#include <cstdint>
#include <vector>

#include "reports/page/page.h"
#include "sim/metrics/timeline.h"

namespace foretoken::reports {

// The sum over replicas of a count that holds from the end of a step to the end of the replica's
// next one: the mean over time in each of `bins` equal stretches of [0, end], with its least and
// largest value as interval. x is the middle of the stretch in seconds.
page::Series state_series(const std::vector<StepSample>& steps, std::int64_t StepSample::*count,
                          Time end, int bins, const std::string& name, double scale = 1);

// The same for what a step does, over the steps that end in each stretch, of all replicas; a gap
// where none does.
page::Series step_series(const std::vector<StepSample>& steps, std::int64_t StepSample::*count,
                         Time end, int bins, const std::string& name);

}  // namespace foretoken::reports
