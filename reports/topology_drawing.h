// A cluster as inline SVG, with how much of each link a run used.
#pragma once

#include <vector>

#include "reports/page/page.h"
#include "sim/core/units.h"
#include "sim/topology/topology.h"

namespace foretoken::reports {

// `bytes`: by LinkId, over `duration`. Utilisation is bytes / (bandwidth x duration). Draws the
// nodes that carry traffic, or the first; at most `max_gpus` GPUs. The table lists the links in
// use, the most used first.
page::Drawing topology_drawing(const Topology& topology, const std::vector<double>& bytes,
                               Time duration, int max_gpus = 16);

}  // namespace foretoken::reports
