// Builders of cluster graphs: what a topology file's `build:` steps call, and what tests use
// directly. Pure: they add vertices and links to a ClusterSpec and know nothing of YAML.
//
// GPUs belong to the graph, not to a builder: the first step that names `gpus` makes gpu0..gpuN-1,
// later steps attach to the same ones, so that an NVSwitch step and a PCIe step build one box.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/spec/cluster.h"

namespace foretoken {

// One direction of a link.
struct LinkParameters {
  Bandwidth bandwidth;
  Time latency = kTimeZero;
};

// The class that a link between two kinds of vertices has unless stated otherwise, in the terms of
// `nvidia-smi topo -m`: one PCIe switch PIX, several PXB, a host bridge PHB, between sockets SYS.
LinkClass default_link_class(VertexKind a, VertexKind b);

// Every GPU is linked to every other one directly.
struct FullyConnected {
  int gpus = 0;
  LinkParameters link = {};
};

// Each GPU links to the next, the last to the first.
struct Ring {
  int gpus = 0;
  LinkParameters link = {};
};

// NVSwitches. The switches of a box stripe every transfer over all of them, so they are one vertex
// and `link` is a GPU's whole bandwidth into it.
struct Switched {
  int gpus = 0;
  LinkParameters link = {};
  bool multicast = false;
};

// Sockets with root complexes, PCIe switches, GPUs in the order socket, switch, slot. Without
// switches the GPUs hang off the root complexes. `cascade` puts the switches of a socket under an
// upper one, so that they reach each other without the host bridge (PXB).
struct PcieTree {
  int sockets = 1;
  int switches_per_socket = 1;
  int gpus_per_switch = 1;  // per socket when there are no switches
  int nics_per_switch = 0;
  bool cascade = false;
  LinkParameters link = {};         // GPU or NIC to its switch
  LinkParameters uplink = {};       // switch to root complex
  LinkParameters socket_link = {};  // between each two root complexes; used when sockets > 1
  LinkParameters host_memory = {};  // root complex to its memory; bandwidth 0: no memory vertex
};

// `count` copies of a node whose NICs are joined by a network. NIC i of every node of a group of
// `nodes_per_leaf` nodes meets at leaf switch i of that group (rail optimised); all leaves are
// joined by `spines` spine switches.
struct Pod {
  ClusterSpec node = {};
  int count = 1;
  int nodes_per_leaf = 0;  // 0: one group of all nodes
  int spines = 0;
  LinkParameters nic = {};     // NIC to leaf
  LinkParameters uplink = {};  // leaf to spine
};

// A k-ary fat tree (Al-Fares et al., SIGCOMM 2008): k pods of k/2 edge and k/2 aggregation
// switches, (k/2)^2 core switches, up to k^3/4 ports. Ports hold GPUs, or the NICs of copies of
// `node`.
struct FatTree {
  int k = 4;
  int hosts = 0;               // GPUs, or copies of `node`; 0: as many as there are ports
  ClusterSpec node = {};       // no vertices: bare GPUs
  LinkParameters link = {};    // host to edge
  LinkParameters uplink = {};  // between switches
};

// Grows a ClusterSpec. Everything added carries `mark`, so that later complaints point at the step.
class ClusterBuilder {
 public:
  explicit ClusterBuilder(ClusterSpec& spec);

  void set_mark(const SourceMark& mark) { mark_ = mark; }

  // Throws InputError when the id is taken.
  int add_vertex(std::string id, VertexKind kind, int node = 0, bool multicast = false);
  // Both directions. The class is default_link_class() of the ends.
  void add_link(int a, int b, const LinkParameters& parameters);
  void add_link(int a, int b, const LinkParameters& parameters, LinkClass link_class);
  void add_one_way(int from, int to, const LinkParameters& parameters, LinkClass link_class);
  int find(std::string_view id) const;  // -1 when there is none

  void build(const FullyConnected& step);
  void build(const Ring& step);
  void build(const Switched& step);
  void build(const PcieTree& step);
  void build(const Pod& step);
  void build(const FatTree& step);

 private:
  // The graph's first `count` GPUs; makes those that are missing.
  std::vector<int> gpus(int count);
  // Copies a node's graph; returns the vertices of its NICs.
  std::vector<int> copy_node(const ClusterSpec& node, int number, std::string_view prefix);
  VertexKind kind(int vertex) const { return spec_->vertices[vertex].kind; }
  [[noreturn]] void refuse(const std::string& message) const;

  ClusterSpec* spec_;
  std::unordered_map<std::string, int> index_;
  SourceMark mark_;
};

}  // namespace foretoken
