// This machine as a topology: the PCIe tree from hwloc, GPUs and NVLinks from NVML.
#pragma once

#include <string>

#include "calibrate/detect/machine_tree.h"
#include "calibrate/detect/nvml.h"
#include "sim/spec/cluster.h"

namespace foretoken::calibrate {

struct DetectOptions {
  std::string gpu;            // of gpu_facts(); empty: by the name that NVML gives
  double socket_link = 40e9;  // bytes/s between each two sockets: nobody says
  double memory = 200e9;      // bytes/s of one NUMA node's memory: nobody says
};

// The name in gpu_facts() of a GPU that NVML calls so; empty when it is not among them.
std::string facts_name(const std::string& nvml_name);

// GPUs in NVML's order, then those that only hwloc sees. Without any GPU the sockets, their memory
// and NICs, which no Topology is made of yet. Throws InputError when there are NVLinks whose rate
// is not known: name the GPU.
ClusterSpec detect_cluster(const MachineTree& machine, const NvmlReport& nvml,
                           const DetectOptions& options);

}  // namespace foretoken::calibrate
