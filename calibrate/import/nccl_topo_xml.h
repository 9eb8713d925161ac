// Turns the topology that NCCL writes to NCCL_TOPO_DUMP_FILE into one of ours.
//
// The dump is a tree: a <cpu> per NUMA node, under it <pci> nodes, each with the speed and width of
// its link upwards, and at their ends <gpu> with its <nvlink>s and <nic> with its <net>s. So the
// PCIe switches, sockets and link rates are the machine's own. The NVLink rate is the named GPU's;
// latencies and the links between sockets are assumed. Where a virtual machine hides a PCIe rate
// (no speed or width), the GPU's slot is assumed.
#pragma once

#include <string>

#include "sim/spec/cluster.h"

namespace foretoken::importer {

struct TopoXmlOptions {
  std::string gpu;            // of gpu_facts()
  double socket_link = 40e9;  // bytes/s between each two NUMA nodes: the dump does not say
  std::string file;           // for messages and the source
};

// GPUs in the order of their `dev`. Throws InputError with file and line: no XML, no <system>, a
// device without a bus id or with one that stands twice, a speed nobody knows, an NVLink to a
// device that is not there or that the other end does not show, no GPU.
ClusterSpec import_topo_xml(const std::string& text, const TopoXmlOptions& options);

}  // namespace foretoken::importer
