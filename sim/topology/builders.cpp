#include "sim/topology/builders.h"

#include <utility>

namespace foretoken {
namespace {

bool either(VertexKind a, VertexKind b, VertexKind kind) { return a == kind || b == kind; }

std::string numbered(std::string_view name, int number) {
  return fmt::format("{}{}", name, number);
}

}  // namespace

LinkClass default_link_class(VertexKind a, VertexKind b) {
  if (either(a, b, VertexKind::network_switch) || (a == VertexKind::nic && b == VertexKind::nic)) {
    return LinkClass::network;
  }
  if (either(a, b, VertexKind::nvswitch) || (a == VertexKind::gpu && b == VertexKind::gpu)) {
    return LinkClass::nvlink;
  }
  if (a == VertexKind::root_complex && b == VertexKind::root_complex) {
    return LinkClass::sys;
  }
  if (either(a, b, VertexKind::root_complex) || either(a, b, VertexKind::host_memory)) {
    return LinkClass::phb;
  }
  if (a == VertexKind::pcie_switch && b == VertexKind::pcie_switch) {
    return LinkClass::pxb;
  }
  return LinkClass::pix;
}

ClusterBuilder::ClusterBuilder(ClusterSpec& spec) : spec_(&spec) {
  for (std::size_t i = 0; i < spec.vertices.size(); ++i) {
    index_.emplace(spec.vertices[i].id, static_cast<int>(i));
  }
}

void ClusterBuilder::refuse(const std::string& message) const {
  throw InputError(mark_, "build", message);
}

int ClusterBuilder::find(std::string_view id) const {
  const auto it = index_.find(std::string(id));
  return it == index_.end() ? -1 : it->second;
}

int ClusterBuilder::add_vertex(std::string id, VertexKind kind, int node, bool multicast) {
  const int vertex = static_cast<int>(spec_->vertices.size());
  const auto [it, fresh] = index_.emplace(id, vertex);
  if (!fresh) {
    throw InputError(mark_, "",
                     fmt::format("duplicate device \"{}\"; the first stands at {}; give each its "
                                 "own id",
                                 id, to_string(spec_->vertices[it->second].mark)));
  }
  spec_->vertices.push_back({std::move(id), kind, node, multicast, mark_});
  return vertex;
}

void ClusterBuilder::add_one_way(int from, int to, const LinkParameters& parameters,
                                 LinkClass link_class) {
  spec_->links.push_back({from, to, parameters.bandwidth, parameters.latency, link_class, mark_});
}

void ClusterBuilder::add_link(int a, int b, const LinkParameters& parameters) {
  add_link(a, b, parameters, default_link_class(kind(a), kind(b)));
}

void ClusterBuilder::add_link(int a, int b, const LinkParameters& parameters,
                              LinkClass link_class) {
  add_one_way(a, b, parameters, link_class);
  add_one_way(b, a, parameters, link_class);
}

std::vector<int> ClusterBuilder::gpus(int count) {
  std::vector<int> found;
  for (std::size_t i = 0; i < spec_->vertices.size(); ++i) {
    if (kind(static_cast<int>(i)) == VertexKind::gpu) {
      found.push_back(static_cast<int>(i));
    }
  }
  if (found.empty()) {
    for (int i = 0; i < count; ++i) {
      found.push_back(add_vertex(numbered("gpu", i), VertexKind::gpu));
    }
  }
  if (static_cast<int>(found.size()) != count) {
    refuse(fmt::format("this step is about {} GPUs, the steps before it made {}; make them agree",
                       count, found.size()));
  }
  return found;
}

void ClusterBuilder::build(const FullyConnected& step) {
  const std::vector<int> devices = gpus(step.gpus);
  for (std::size_t i = 0; i < devices.size(); ++i) {
    for (std::size_t j = i + 1; j < devices.size(); ++j) {
      add_link(devices[i], devices[j], step.link);
    }
  }
}

void ClusterBuilder::build(const Ring& step) {
  const std::vector<int> devices = gpus(step.gpus);
  if (devices.size() < 2) {
    refuse("a ring needs at least two GPUs");
  }
  // Two GPUs have one link, not two in parallel.
  const std::size_t count = devices.size() == 2 ? 1 : devices.size();
  for (std::size_t i = 0; i < count; ++i) {
    add_link(devices[i], devices[(i + 1) % devices.size()], step.link);
  }
}

void ClusterBuilder::build(const Switched& step) {
  const std::vector<int> devices = gpus(step.gpus);
  const int nvswitch = add_vertex("nvswitch", VertexKind::nvswitch, 0, step.multicast);
  for (const int device : devices) {
    add_link(device, nvswitch, step.link);
  }
}

void ClusterBuilder::build(const PcieTree& step) {
  const int parents = step.sockets * std::max(step.switches_per_socket, 1);
  const std::vector<int> devices = gpus(parents * step.gpus_per_switch);
  std::vector<int> roots;
  int next_switch = 0;
  int next_device = 0;
  int next_nic = 0;
  const auto fill = [&](int parent) {
    for (int i = 0; i < step.gpus_per_switch; ++i) {
      add_link(devices[next_device++], parent, step.link);
    }
    for (int i = 0; i < step.nics_per_switch; ++i) {
      add_link(add_vertex(numbered("nic", next_nic++), VertexKind::nic), parent, step.link);
    }
  };
  for (int socket = 0; socket < step.sockets; ++socket) {
    const int root = add_vertex(numbered("socket", socket), VertexKind::root_complex);
    for (const int other : roots) {
      add_link(other, root, step.socket_link);
    }
    roots.push_back(root);
    if (step.host_memory.bandwidth.bytes_per_second > 0) {
      add_link(root, add_vertex(numbered("memory", socket), VertexKind::host_memory),
               step.host_memory);
    }
    if (step.switches_per_socket == 0) {
      fill(root);
      continue;
    }
    int above = root;
    if (step.cascade) {
      above = add_vertex(numbered("upper_switch", socket), VertexKind::pcie_switch);
      add_link(above, root, step.uplink);
    }
    for (int i = 0; i < step.switches_per_socket; ++i) {
      const int pcie_switch =
          add_vertex(numbered("pcie_switch", next_switch++), VertexKind::pcie_switch);
      add_link(pcie_switch, above, step.uplink);
      fill(pcie_switch);
    }
  }
}

std::vector<int> ClusterBuilder::copy_node(const ClusterSpec& node, int number,
                                           std::string_view prefix) {
  const int base = static_cast<int>(spec_->vertices.size());
  std::vector<int> nics;
  for (const VertexSpec& vertex : node.vertices) {
    const int copy =
        add_vertex(fmt::format("{}.{}", prefix, vertex.id), vertex.kind, number, vertex.multicast);
    if (vertex.kind == VertexKind::nic) {
      nics.push_back(copy);
    }
  }
  for (const LinkSpec& link : node.links) {
    add_one_way(base + link.from, base + link.to, {link.bandwidth, link.latency}, link.link_class);
  }
  return nics;
}

void ClusterBuilder::build(const Pod& step) {
  const int per_leaf = step.nodes_per_leaf == 0 ? step.count : step.nodes_per_leaf;
  std::vector<int> leaves;  // of all groups
  std::vector<int> group;   // leaf of each rail in the current group
  for (int number = 0; number < step.count; ++number) {
    const std::vector<int> nics = copy_node(step.node, number, numbered("node", number));
    if (nics.empty()) {
      refuse(
          fmt::format("node \"{}\" has no NIC, so a pod cannot join copies of it; add "
                      "nics_per_switch to its pcie_tree",
                      step.node.name));
    }
    if (number % per_leaf == 0) {
      group.clear();
    }
    for (std::size_t rail = 0; rail < nics.size(); ++rail) {
      if (rail >= group.size()) {
        group.push_back(add_vertex(numbered("leaf", static_cast<int>(leaves.size())),
                                   VertexKind::network_switch, -1));
        leaves.push_back(group.back());
      }
      add_link(nics[rail], group[rail], step.nic);
    }
  }
  for (int i = 0; i < step.spines; ++i) {
    const int spine = add_vertex(numbered("spine", i), VertexKind::network_switch, -1);
    for (const int leaf : leaves) {
      add_link(leaf, spine, step.uplink);
    }
  }
}

void ClusterBuilder::build(const FatTree& step) {
  if (step.k < 2 || step.k % 2 != 0) {
    refuse(fmt::format("a fat tree needs an even k of at least 2, not {}", step.k));
  }
  const int half = step.k / 2;
  std::vector<int> ports;  // edge switch of each host port, in order
  std::vector<std::vector<int>> aggregations(step.k);
  for (int pod = 0; pod < step.k; ++pod) {
    for (int i = 0; i < half; ++i) {
      aggregations[pod].push_back(
          add_vertex(fmt::format("pod{}.aggregation{}", pod, i), VertexKind::network_switch, -1));
    }
    for (int i = 0; i < half; ++i) {
      const int edge =
          add_vertex(fmt::format("pod{}.edge{}", pod, i), VertexKind::network_switch, -1);
      for (const int aggregation : aggregations[pod]) {
        add_link(edge, aggregation, step.uplink);
      }
      ports.insert(ports.end(), half, edge);
    }
  }
  for (int i = 0; i < half * half; ++i) {
    const int core = add_vertex(numbered("core", i), VertexKind::network_switch, -1);
    for (int pod = 0; pod < step.k; ++pod) {
      add_link(aggregations[pod][i / half], core, step.uplink);
    }
  }
  std::size_t next_port = 0;
  const auto plug_in = [&](int host) {
    if (next_port == ports.size()) {
      refuse(fmt::format("a fat tree of k = {} has {} ports, the hosts need more; raise k", step.k,
                         ports.size()));
    }
    add_link(host, ports[next_port++], step.link);
  };
  if (step.node.vertices.empty()) {
    const int count = step.hosts == 0 ? static_cast<int>(ports.size()) : step.hosts;
    for (int i = 0; i < count; ++i) {
      plug_in(add_vertex(numbered("gpu", i), VertexKind::gpu, i));
    }
    return;
  }
  for (int i = 0; step.hosts == 0 ? next_port < ports.size() : i < step.hosts; ++i) {
    const std::vector<int> nics = copy_node(step.node, i, numbered("node", i));
    if (nics.empty()) {
      refuse(fmt::format("node \"{}\" has no NIC to plug into the fat tree", step.node.name));
    }
    for (const int nic : nics) {
      plug_in(nic);
    }
  }
}

}  // namespace foretoken
