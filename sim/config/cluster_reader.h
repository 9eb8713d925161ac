// Reads a topology file into a ClusterSpec, with its builder steps carried out:
//
//   schema: 1
//   name: hgx-h100-8
//   profile: h100-sxm                  # default device profile
//   source: who says so
//   build:                             # optional; one map of one key per step, in order
//     - switched: {gpus: 8, bandwidth: 450GB/s, latency: 350ns, multicast: true}
//     - pcie_tree: {sockets: 2, switches_per_socket: 4, gpus_per_switch: 1, nics_per_switch: 1,
//                   link: {bandwidth: 64GB/s, latency: 250ns}, socket_link: {...}, host_memory:
//                   {...}}
//   vertices:                          # optional; beside or instead of `build`
//     - {id: gpu8, kind: gpu, node: 0}
//   links:                             # both directions unless `one_way: true`
//     - {from: gpu8, to: nvswitch, bandwidth: 450GB/s, latency: 350ns, class: nvlink}
//
// Steps: fully_connected, ring, switched, pcie_tree, pod, fat_tree (sim/topology/builders.h). `pod`
// and `fat_tree` take `node: NAME`, another topology file beside this one, or a path ending in
// .yaml.
#pragma once

#include <string>

#include "sim/spec/cluster.h"

namespace foretoken::config {

// Throws InputError with file:line:column: unknown keys and device kinds, duplicate ids, links to
// unknown devices (naming the nearest), bandwidths that are not positive, nodes that contain
// themselves.
ClusterSpec read_cluster(const std::string& path);

}  // namespace foretoken::config
