// Which GPUs the ranks of each replica sit on.
#pragma once

#include <vector>

#include "sim/spec/scenario.h"
#include "sim/step/step_timer.h"
#include "sim/topology/topology.h"

namespace foretoken {

struct ReplicaPlacement {
  std::vector<StagePlacement> stages;
};

// One entry per replica. Throws InputError when the cluster has too few GPUs, or explicit groups do
// not match the degrees, name a GPU twice or one that is not there.
std::vector<ReplicaPlacement> place(const ParallelSpec& parallel, const PlacementSpec& placement,
                                    const Topology& topology);

// Whether the transfers of two replicas may cross the same link in the same direction.
bool replicas_share_links(const std::vector<ReplicaPlacement>& replicas, const Topology& topology);

// Equal for two placements whose collectives must take equal times: the links between all pairs.
std::vector<double> link_signature(const ReplicaPlacement& replica, const Topology& topology);

}  // namespace foretoken
