// Turns what `nvidia-smi topo -m` prints into a topology.
//
// The matrix names the relation of each two devices, not their tree: devices that are PIX to each
// other get a PCIe switch, switches that are PXB an upper one, what is PHB or NODE shares a socket,
// what is SYS does not. Between GPUs an NVn entry hides the PCIe relation; their sockets then come
// from the NUMA and CPU columns and from the NICs. Bandwidths come from the GPU's facts, latencies
// are assumed.
#pragma once

#include <string>

#include "sim/spec/cluster.h"

namespace foretoken::importer {

struct TopoMatrixOptions {
  std::string gpu;            // of gpu_facts()
  double socket_link = 40e9;  // bytes/s between sockets: the matrix does not say
  std::string file;           // for messages and the source
};

// Lines that start with # are comments; a legend after the matrix is passed over. Rows may be
// missing at the end: their entries are taken from the columns. Throws InputError with the line.
ClusterSpec import_topo_matrix(const std::string& text, const TopoMatrixOptions& options);

}  // namespace foretoken::importer
