// What a topology importer must know of a GPU and its dump does not say.
#pragma once

#include <span>
#include <string_view>

namespace foretoken::importer {

struct GpuFacts {
  std::string_view name;   // also the name of its profile
  double nvlink_per_link;  // bytes/s one way of one NVLink; 0: none
  double pcie;             // bytes/s one way of its slot
  bool multicast;          // its NVSwitches reduce and multicast
};

std::span<const GpuFacts> gpu_facts();
// Throws InputError naming the nearest.
const GpuFacts& gpu_facts(std::string_view name);

}  // namespace foretoken::importer
