#include "sim/config/cluster_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "sim/config/document.h"
#include "sim/config/reader.h"
#include "sim/core/quantity.h"
#include "sim/topology/builders.h"

namespace foretoken::config {
namespace {

constexpr std::array kKinds{
    VertexKind::gpu, VertexKind::nvswitch,       VertexKind::pcie_switch, VertexKind::root_complex,
    VertexKind::nic, VertexKind::network_switch, VertexKind::host_memory};
constexpr std::array kClasses{LinkClass::nvlink, LinkClass::pix, LinkClass::pxb,
                              LinkClass::phb,    LinkClass::sys, LinkClass::network};
constexpr std::array<std::string_view, 6> kSteps{"fully_connected", "ring", "switched",
                                                 "pcie_tree",       "pod",  "fat_tree"};
constexpr IntRange kCount{1, 65'536};
constexpr IntRange kSmallCount{0, 1024};
// A line that asks for more than this is a typing error, not a cluster.
constexpr std::size_t kMaxVertices = 4'000'000;
constexpr int kMaxNesting = 8;

template <class Enum, std::size_t N>
Enum read_name(const Node& node, const std::string& path, const std::array<Enum, N>& values) {
  std::array<std::string_view, N> names;
  std::transform(values.begin(), values.end(), names.begin(), [](Enum e) { return name(e); });
  const std::string chosen = read_choice(node, path, names);
  return values[std::find(names.begin(), names.end(), chosen) - names.begin()];
}

LinkParameters read_parameters(MapReader& map) {
  LinkParameters link;
  link.bandwidth = {map.quantity("bandwidth", Unit::bandwidth, kPositive)};
  // To the nearest picosecond: 700 x 1e-9 is a little more than 700ns.
  link.latency =
      Time(std::llround(map.quantity("latency", 0, Unit::time, {0, 3600}) * kPicosPerSecond));
  return link;
}

LinkParameters read_link(const Node& node, const std::string& path) {
  MapReader map(node, path);
  const LinkParameters link = read_parameters(map);
  map.finish();
  return link;
}

LinkParameters link_or(MapReader& map, std::string_view key, const LinkParameters& fallback) {
  const Node* node = map.find(key);
  return node == nullptr ? fallback : read_link(*node, map.path(key));
}

class ClusterReader {
 public:
  ClusterReader(std::string path, std::vector<std::string> chain)
      : path_(std::move(path)), chain_(std::move(chain)), builder_(spec_) {
    chain_.push_back(path_);
  }

  ClusterSpec read();

 private:
  void read_step(const Node& step, const std::string& path);
  void read_vertices(const Node& list);
  void read_links(const Node& list);
  void read_pcie_tree(MapReader& map);
  void read_pod(MapReader& map);
  void read_fat_tree(MapReader& map);
  ClusterSpec read_node(const Node& node, const std::string& path) const;
  int endpoint(MapReader& map, std::string_view key) const;
  void check_size(const Node& node, const std::string& path, std::size_t more) const;

  std::string path_;
  std::vector<std::string> chain_;  // files being read, outermost first
  ClusterSpec spec_;
  ClusterBuilder builder_;
};

ClusterSpec ClusterReader::read() {
  const auto document = read_document(path_);
  MapReader map(*document, "");
  read_schema(map, 1);
  spec_.file = path_;
  spec_.name = map.string("name", std::filesystem::path(path_).stem().string());
  const Node* profile = map.find("profile");
  spec_.profile_mark = profile != nullptr ? profile->mark : map.mark();
  spec_.profile = map.string("profile", "");
  spec_.source = map.string("source", "");
  const Node* build = map.find("build");
  const Node* vertices = map.find("vertices");
  const Node* links = map.find("links");
  map.finish();
  if (build != nullptr) {
    if (build->kind != Node::Kind::sequence) {
      fail(*build, "build", "expected a list of steps, such as \"- switched: {...}\"");
    }
    for (std::size_t i = 0; i < build->items.size(); ++i) {
      read_step(*build->items[i], fmt::format("build[{}]", i));
    }
  }
  if (vertices != nullptr) {
    read_vertices(*vertices);
  }
  if (links != nullptr) {
    read_links(*links);
  }
  const bool has_gpu =
      std::any_of(spec_.vertices.begin(), spec_.vertices.end(),
                  [](const VertexSpec& vertex) { return vertex.kind == VertexKind::gpu; });
  if (!has_gpu) {
    fail(*document, "build", "the cluster has no gpu; add a builder step or a vertex of kind gpu");
  }
  return std::move(spec_);
}

void ClusterReader::read_step(const Node& step, const std::string& path) {
  if (step.kind != Node::Kind::map || step.entries.size() != 1) {
    fail(step, path,
         fmt::format("expected one builder with its settings, such as \"{}: {{...}}\"",
                     kSteps.front()));
  }
  const Node::Entry& entry = step.entries.front();
  const std::string& kind = entry.key;
  if (std::find(kSteps.begin(), kSteps.end(), kind) == kSteps.end()) {
    const std::string_view near = nearest(kind, kSteps);
    throw InputError(entry.mark, path,
                     fmt::format("unknown builder \"{}\" ({})", kind,
                                 near.empty() ? "fully_connected, ring, switched, pcie_tree, pod "
                                                "or fat_tree"
                                              : fmt::format("did you mean \"{}\"?", near)));
  }
  builder_.set_mark(entry.mark);
  MapReader map(*entry.value, fmt::format("{}.{}", path, kind));
  if (kind == "fully_connected" || kind == "ring" || kind == "switched") {
    const auto gpus = static_cast<int>(map.integer("gpus", kCount));
    // A full mesh grows with the square of its GPUs.
    check_size(*entry.value, map.path("gpus"),
               kind == "fully_connected" ? std::size_t(gpus) * std::size_t(gpus) : gpus);
    const LinkParameters link = read_parameters(map);
    const bool multicast = kind == "switched" && map.boolean("multicast", false);
    map.finish();
    if (kind == "fully_connected") {
      builder_.build(FullyConnected{gpus, link});
    } else if (kind == "ring") {
      builder_.build(Ring{gpus, link});
    } else {
      builder_.build(Switched{gpus, link, multicast});
    }
  } else if (kind == "pcie_tree") {
    read_pcie_tree(map);
  } else if (kind == "pod") {
    read_pod(map);
  } else {
    read_fat_tree(map);
  }
}

void ClusterReader::read_pcie_tree(MapReader& map) {
  PcieTree tree;
  tree.sockets = static_cast<int>(map.integer("sockets", 1, {1, 64}));
  tree.switches_per_socket = static_cast<int>(map.integer("switches_per_socket", 1, {0, 64}));
  tree.gpus_per_switch = static_cast<int>(map.integer("gpus_per_switch", {0, 256}));
  tree.nics_per_switch = static_cast<int>(map.integer("nics_per_switch", 0, {0, 256}));
  tree.cascade = map.boolean("cascade", false);
  tree.link = read_link(map.require("link"), map.path("link"));
  tree.uplink = link_or(map, "uplink", tree.link);
  if (tree.sockets > 1) {
    tree.socket_link = read_link(map.require("socket_link"), map.path("socket_link"));
  }
  tree.host_memory = link_or(map, "host_memory", {});
  map.finish();
  builder_.build(tree);
}

void ClusterReader::read_pod(MapReader& map) {
  Pod pod;
  pod.node = read_node(map.require("node"), map.path("node"));
  pod.count = static_cast<int>(map.integer("count", kCount));
  pod.nodes_per_leaf = static_cast<int>(map.integer("nodes_per_leaf", 0, kCount));
  pod.spines = static_cast<int>(map.integer("spines", 0, kSmallCount));
  pod.nic = read_link(map.require("nic"), map.path("nic"));
  pod.uplink = link_or(map, "uplink", pod.nic);
  map.finish();
  check_size(map.node(), map.path("count"), pod.node.vertices.size() * std::size_t(pod.count));
  builder_.build(pod);
}

void ClusterReader::read_fat_tree(MapReader& map) {
  FatTree tree;
  const Node& k = map.require("k");
  tree.k = static_cast<int>(read_integer(k, map.path("k"), {2, 128}));
  if (tree.k % 2 != 0) {
    fail(k, map.path("k"), fmt::format("a fat tree needs an even k, not {}", tree.k));
  }
  tree.hosts = static_cast<int>(map.integer("hosts", 0, {0, kCount.high}));
  if (const Node* node = map.find("node")) {
    tree.node = read_node(*node, map.path("node"));
  }
  tree.link = read_link(map.require("link"), map.path("link"));
  tree.uplink = link_or(map, "uplink", tree.link);
  map.finish();
  check_size(map.node(), map.path("k"), tree.node.vertices.size() * std::size_t(tree.hosts));
  builder_.build(tree);
}

ClusterSpec ClusterReader::read_node(const Node& node, const std::string& path) const {
  const std::string text = read_string(node, path);
  std::filesystem::path file = std::filesystem::path(path_).parent_path();
  file /= text.ends_with(".yaml") ? text : text + ".yaml";
  const std::string resolved = file.lexically_normal().string();
  const bool circle = std::any_of(chain_.begin(), chain_.end(), [&](const std::string& outer) {
    return std::filesystem::path(outer).lexically_normal() == file.lexically_normal();
  });
  if (circle || chain_.size() >= kMaxNesting) {
    fail(node, path, fmt::format("topology \"{}\" contains itself; name a single node", text));
  }
  if (!std::filesystem::exists(resolved)) {
    fail(node, path,
         fmt::format("there is no topology file {}; name one beside this file, or "
                     "give a path that ends in .yaml",
                     resolved));
  }
  return ClusterReader(resolved, chain_).read();
}

void ClusterReader::check_size(const Node& node, const std::string& path, std::size_t more) const {
  if (spec_.vertices.size() + more > kMaxVertices) {
    fail(node, path,
         fmt::format("this makes more than {} devices or links; state fewer", kMaxVertices));
  }
}

void ClusterReader::read_vertices(const Node& list) {
  if (list.kind != Node::Kind::sequence) {
    fail(list, "vertices", "expected a list, such as \"- {id: gpu0, kind: gpu}\"");
  }
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    MapReader map(*list.items[i], fmt::format("vertices[{}]", i));
    std::string id = map.string("id");
    if (id.empty()) {
      fail(map.require("id"), map.path("id"), "a device needs a name, such as gpu0");
    }
    const VertexKind kind = read_name(map.require("kind"), map.path("kind"), kKinds);
    // -1: the network between nodes.
    const auto node = static_cast<int>(
        map.integer("node", kind == VertexKind::network_switch ? -1 : 0, {-1, kCount.high}));
    const bool multicast = map.boolean("multicast", false);
    map.finish();
    builder_.set_mark(map.mark());
    builder_.add_vertex(std::move(id), kind, node, multicast);
  }
}

int ClusterReader::endpoint(MapReader& map, std::string_view key) const {
  const Node& node = map.require(key);
  const std::string id = read_string(node, map.path(key));
  const int vertex = builder_.find(id);
  if (vertex < 0) {
    std::vector<std::string_view> ids;
    for (const VertexSpec& known : spec_.vertices) {
      ids.push_back(known.id);
    }
    const std::string_view near = nearest(id, ids);
    fail(node, map.path(key),
         fmt::format("unknown device \"{}\" ({})", id,
                     near.empty() ? "declare it under vertices"
                                  : fmt::format("did you mean \"{}\"?", near)));
  }
  return vertex;
}

void ClusterReader::read_links(const Node& list) {
  if (list.kind != Node::Kind::sequence) {
    fail(list, "links", "expected a list, such as \"- {from: gpu0, to: gpu1, bandwidth: 50GB/s}\"");
  }
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    MapReader map(*list.items[i], fmt::format("links[{}]", i));
    const int from = endpoint(map, "from");
    const int to = endpoint(map, "to");
    const LinkParameters link = read_parameters(map);
    LinkClass link_class = default_link_class(spec_.vertices[from].kind, spec_.vertices[to].kind);
    if (const Node* stated = map.find("class")) {
      link_class = read_name(*stated, map.path("class"), kClasses);
    }
    const bool one_way = map.boolean("one_way", false);
    map.finish();
    if (from == to) {
      fail(map.node(), map.path("to"), "a link joins two different devices; remove it");
    }
    builder_.set_mark(map.mark());
    builder_.add_one_way(from, to, link, link_class);
    if (!one_way) {
      builder_.add_one_way(to, from, link, link_class);
    }
  }
}

}  // namespace

ClusterSpec read_cluster(const std::string& path) { return ClusterReader(path, {}).read(); }

}  // namespace foretoken::config
