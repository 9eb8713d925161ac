#include "sim/spec/cluster.h"

namespace foretoken {

std::string_view name(VertexKind kind) {
  switch (kind) {
    case VertexKind::gpu:
      return "gpu";
    case VertexKind::nvswitch:
      return "nvswitch";
    case VertexKind::pcie_switch:
      return "pcie_switch";
    case VertexKind::root_complex:
      return "root_complex";
    case VertexKind::nic:
      return "nic";
    case VertexKind::network_switch:
      return "switch";
    case VertexKind::host_memory:
      return "host_memory";
  }
  return "";
}

std::string_view name(LinkClass link_class) {
  switch (link_class) {
    case LinkClass::nvlink:
      return "nvlink";
    case LinkClass::pix:
      return "pix";
    case LinkClass::pxb:
      return "pxb";
    case LinkClass::phb:
      return "phb";
    case LinkClass::sys:
      return "sys";
    case LinkClass::network:
      return "network";
  }
  return "";
}

}  // namespace foretoken
