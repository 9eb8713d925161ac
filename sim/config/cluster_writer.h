// Writes a ClusterSpec as a topology file of explicit devices and links, which read_cluster() reads
// back.
#pragma once

#include <string>

#include "sim/spec/cluster.h"

namespace foretoken::config {

std::string write_cluster(const ClusterSpec& spec);

}  // namespace foretoken::config
