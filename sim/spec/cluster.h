// A cluster as a user states it: vertices and directed links after the builders have been expanded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace foretoken {

enum class VertexKind : std::uint8_t {
  gpu,       // a device that computes; never forwards traffic
  nvswitch,  // forwards; may reduce in the switch (multicast)
  pcie_switch,
  root_complex,  // one socket
  nic,           // forwards only between its PCIe and its network side
  network_switch,
  host_memory  // never forwards
};

// In the order in which routes prefer them.
enum class LinkClass : std::uint8_t { nvlink, pix, pxb, phb, sys, network };

std::string_view name(VertexKind kind);
std::string_view name(LinkClass link_class);

struct VertexSpec {
  std::string id;
  VertexKind kind = VertexKind::gpu;
  int node = 0;            // server it stands in
  bool multicast = false;  // nvswitch: reduces and multicasts in the switch (NVLS)
  SourceMark mark;
};

// One direction. A YAML `link` makes two of these.
struct LinkSpec {
  int from = 0;  // indices into ClusterSpec::vertices
  int to = 0;
  Bandwidth bandwidth;
  Time latency = kTimeZero;
  LinkClass link_class = LinkClass::nvlink;
  SourceMark mark;
};

struct ClusterSpec {
  std::string name;
  std::string profile;      // name of the device's default profile
  SourceMark profile_mark;  // where it stands, or should
  std::string source;
  std::string file;
  std::vector<VertexSpec> vertices;  // GPUs in rank order
  std::vector<LinkSpec> links;
};

}  // namespace foretoken
