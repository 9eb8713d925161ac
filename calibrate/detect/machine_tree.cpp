#include "calibrate/detect/machine_tree.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <map>
#include <memory>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr unsigned kNvidia = 0x10de;
constexpr unsigned kAmd = 0x1002;
constexpr unsigned kClassNetwork = 0x02;
constexpr unsigned kClassDisplay = 0x03;
constexpr unsigned kClassAccelerator = 0x12;

struct Destroy {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using Handle = std::unique_ptr<hwloc_topology, Destroy>;

Handle load(const std::string& xml) {
  hwloc_topology_t raw = nullptr;
  FT_CHECK(hwloc_topology_init(&raw) == 0, "hwloc does not start");
  Handle topology(raw);
  hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  const bool read = xml.empty() || hwloc_topology_set_xml(raw, xml.c_str()) == 0;
  if (!read || hwloc_topology_load(raw) != 0) {
    throw InputError(SourceMark{xml, 0, 0}, "",
                     "hwloc cannot read this; write it anew with `lstopo FILE.xml`");
  }
  return topology;
}

// A device or switch with what hangs below it.
struct Branch {
  PciDevice device;
  std::vector<Branch> below;
};

bool is_gpu(const hwloc_obj_attr_u::hwloc_pcidev_attr_s& pci) {
  const unsigned base = pci.class_id >> 8U;
  return (pci.vendor_id == kNvidia && base == kClassDisplay) ||
         (pci.vendor_id == kAmd && (base == kClassDisplay || base == kClassAccelerator));
}

double bytes_per_second(float gigabytes) { return 1e9 * static_cast<double>(gigabytes); }

std::string name_of(hwloc_obj_t device) {
  for (hwloc_obj_t os = device->io_first_child; os != nullptr; os = os->next_sibling) {
    if (os->type == HWLOC_OBJ_OS_DEVICE && os->name != nullptr) {
      return os->name;
    }
  }
  return "";
}

std::vector<Branch> branches_below(hwloc_obj_t parent);

void add_device(hwloc_obj_t object, std::vector<Branch>& found) {
  const hwloc_obj_attr_u::hwloc_pcidev_attr_s& pci = object->attr->pcidev;
  const bool gpu = is_gpu(pci);
  if (!gpu && pci.class_id >> 8U != kClassNetwork) {
    return;
  }
  PciDevice device;
  device.kind = gpu ? PciDevice::Kind::gpu : PciDevice::Kind::nic;
  device.bus_id = fmt::format("{:04x}:{:02x}:{:02x}.{:x}", pci.domain, pci.bus, pci.dev, pci.func);
  device.name = name_of(object);
  device.link = bytes_per_second(pci.linkspeed);
  found.push_back({device, {}});
}

void add_bridge(hwloc_obj_t object, std::vector<Branch>& found) {
  std::vector<Branch> below = branches_below(object);
  const bool host = object->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_HOST;
  if (host || below.size() < 2) {
    std::move(below.begin(), below.end(), std::back_inserter(found));
    return;
  }
  PciDevice device;
  device.kind = PciDevice::Kind::pcie_switch;
  device.link = bytes_per_second(object->attr->bridge.upstream.pci.linkspeed);
  found.push_back({device, std::move(below)});
}

std::vector<Branch> branches_below(hwloc_obj_t parent) {
  std::vector<Branch> found;
  for (hwloc_obj_t child = parent->io_first_child; child != nullptr; child = child->next_sibling) {
    if (child->type == HWLOC_OBJ_PCI_DEVICE) {
      add_device(child, found);
    } else if (child->type == HWLOC_OBJ_BRIDGE) {
      add_bridge(child, found);
    }
  }
  return found;
}

class Reader {
 public:
  explicit Reader(hwloc_topology_t topology) : topology_(topology) {
    hwloc_obj_t package = nullptr;
    while ((package = hwloc_get_next_obj_by_type(topology_, HWLOC_OBJ_PACKAGE, package)) !=
           nullptr) {
      socket_of_[package] = static_cast<int>(machine_.sockets.size());
      const char* model = hwloc_obj_get_info_by_name(package, "CPUModel");
      machine_.sockets.push_back(
          {model == nullptr ? "" : model,
           hwloc_get_nbobjs_inside_cpuset_by_type(topology_, package->cpuset, HWLOC_OBJ_CORE),
           {}});
    }
    if (machine_.sockets.empty()) {  // some containers show no package
      machine_.sockets.push_back({"", hwloc_get_nbobjs_by_type(topology_, HWLOC_OBJ_CORE), {}});
    }
    hwloc_obj_t node = nullptr;
    while ((node = hwloc_get_next_obj_by_type(topology_, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
      machine_.sockets[socket_of(node)].memory.push_back(node->attr->numanode.local_memory);
    }
    walk(hwloc_get_root_obj(topology_));
  }
  MachineTree take() { return std::move(machine_); }

 private:
  int socket_of(hwloc_obj_t object) const {
    // Memory and I/O hang beside the CPU tree: their first ancestor with CPUs tells.
    while (object != nullptr && object->type != HWLOC_OBJ_PACKAGE) {
      object = object->parent;
    }
    const auto it = socket_of_.find(object);
    return it == socket_of_.end() ? 0 : it->second;
  }

  void walk(hwloc_obj_t object) {
    for (const Branch& branch : branches_below(object)) {
      add(branch, socket_of(object), -1);
    }
    for (hwloc_obj_t child = object->first_child; child != nullptr; child = child->next_sibling) {
      walk(child);
    }
  }

  void add(const Branch& branch, int socket, int parent) {
    PciDevice device = branch.device;
    device.socket = socket;
    device.parent = parent;
    const auto index = static_cast<int>(machine_.devices.size());
    machine_.devices.push_back(device);
    for (const Branch& child : branch.below) {
      add(child, socket, index);
    }
  }

  hwloc_topology_t topology_;
  MachineTree machine_;
  std::map<hwloc_obj_t, int> socket_of_;
};

int depth_of(const MachineTree& machine, const PciDevice& device) {
  return device.parent < 0 ? 1 : 1 + depth_of(machine, machine.devices[device.parent]);
}

}  // namespace

int MachineTree::count(PciDevice::Kind kind) const {
  return static_cast<int>(std::count_if(devices.begin(), devices.end(),
                                        [&](const PciDevice& d) { return d.kind == kind; }));
}

MachineTree read_machine(const std::string& xml) {
  const Handle topology = load(xml);
  return Reader(topology.get()).take();
}

std::string describe(const MachineTree& machine) {
  std::string text;
  for (std::size_t s = 0; s < machine.sockets.size(); ++s) {
    const MachineTree::Socket& socket = machine.sockets[s];
    text += fmt::format("socket{}  {} cores{}{}\n", s, socket.cores,
                        socket.name.empty() ? "" : ", ", socket.name);
    for (std::size_t m = 0; m < socket.memory.size(); ++m) {
      text += fmt::format("  memory  {:.1f} GiB\n",
                          static_cast<double>(socket.memory[m]) / (1ULL << 30U));
    }
    for (const PciDevice& device : machine.devices) {
      if (device.socket != static_cast<int>(s)) {
        continue;
      }
      const char* kind = device.kind == PciDevice::Kind::gpu   ? "gpu"
                         : device.kind == PciDevice::Kind::nic ? "nic"
                                                               : "pcie_switch";
      text += std::string(2 * static_cast<std::size_t>(depth_of(machine, device)), ' ') + kind;
      text += device.bus_id.empty() ? "" : " " + device.bus_id;
      text += device.name.empty() ? "" : " " + device.name;
      text += device.link > 0 ? fmt::format("  {:.1f} GB/s\n", 1e-9 * device.link) : "\n";
    }
  }
  return text;
}

}  // namespace foretoken::calibrate
