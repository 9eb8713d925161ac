// Readable forms of a topology: text within 100 columns, and Graphviz.
#pragma once

#include <string>

#include "sim/topology/topology.h"

namespace foretoken {

// The devices as a tree, the fabric links, and for up to 16 GPUs the class of the route between
// each two, like `nvidia-smi topo -m`. Nodes that are copies of the first are shown once.
std::string describe(const Topology& topology);

// `dot -Tsvg` draws it. Links of equal parameters in both directions are one edge.
std::string to_dot(const Topology& topology);

}  // namespace foretoken
