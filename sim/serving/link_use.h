// What a run sends over each link.
#pragma once

#include <vector>

#include "sim/serving/simulation.h"

namespace foretoken {

// Bytes over each link of the topology, by LinkId: every collective of every step, by the schedule
// that the step simulation takes (the ring's where an engine's own table gave the time).
// Collectives whose sizes differ by less than 1/32 are counted by the schedule of one of them,
// scaled. `timeline`: of a run that recorded it.
std::vector<double> link_bytes(const Simulation& simulation,
                               const std::vector<StepSample>& timeline);

}  // namespace foretoken
