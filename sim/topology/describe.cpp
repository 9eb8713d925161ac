#include "sim/topology/describe.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken {
namespace {

constexpr std::size_t kColumns = 100;
constexpr int kMatrixGpus = 16;
constexpr std::array<std::string_view, 6> kShortClass{"NVL", "PIX", "PXB", "PHB", "SYS", "NET"};

std::string parameters(const LinkSpec& link) {
  return fmt::format("{}, {}ns", format_quantity(link.bandwidth.bytes_per_second, Unit::bandwidth),
                     static_cast<double>(link.latency.count()) / 1000);
}

// "node0.gpu7" -> ("node0.gpu", 7); no number: -1.
std::pair<std::string, long> split_number(const std::string& id) {
  std::size_t end = id.size();
  while (end > 0 && std::isdigit(static_cast<unsigned char>(id[end - 1]))) {
    --end;
  }
  if (end == id.size() || id.size() - end > 9) {
    return {id, -1};
  }
  return {id.substr(0, end), std::stol(id.substr(end))};
}

// "gpu0-3, gpu6, nic0".
std::string compress(const std::vector<std::string>& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    const auto [prefix, first] = split_number(ids[i]);
    std::size_t j = i + 1;
    while (first >= 0 && j < ids.size() &&
           split_number(ids[j]) == std::pair(prefix, first + static_cast<long>(j - i))) {
      ++j;
    }
    text += text.empty() ? "" : ", ";
    text += j - i > 1 ? fmt::format("{}-{}", ids[i], first + static_cast<long>(j - i) - 1) : ids[i];
    i = j;
  }
  return text;
}

// Breaks at spaces; continuation lines are indented by two more columns.
void add_wrapped(std::string& out, std::string line) {
  const std::size_t indent = line.find_first_not_of(' ') + 2;
  while (line.size() > kColumns) {
    std::size_t cut = line.rfind(' ', kColumns);
    if (cut == std::string::npos || cut <= indent) {
      cut = line.find(' ', kColumns);  // one long word: nothing to break at before
      if (cut == std::string::npos) {
        break;
      }
    }
    out += line.substr(0, cut) + "\n";
    line = std::string(indent, ' ') + line.substr(cut + 1);
  }
  out += line + "\n";
}

class Description {
 public:
  explicit Description(const Topology& topology);
  std::string text();

 private:
  struct Neighbour {
    int vertex;
    const LinkSpec* link;
  };
  bool pcie(const LinkSpec& link) const {
    return link.link_class == LinkClass::pix || link.link_class == LinkClass::pxb ||
           link.link_class == LinkClass::phb;
  }
  const std::string& id(int vertex) const { return topology_->vertex(vertex).id; }
  VertexKind kind(int vertex) const { return topology_->vertex(vertex).kind; }
  std::string signature(int node) const;
  void add_header();
  void add_nodes();
  void add_node(int node);
  void add_tree(int vertex, const LinkSpec* up, int depth, std::set<int>& shown);
  void add_stars(int node, LinkClass link_class, const std::vector<int>& centres);
  void add_pairs(int node, LinkClass link_class);
  void add_network();
  void add_matrix();

  const Topology* topology_;
  std::vector<std::vector<Neighbour>> neighbours_;
  std::map<int, std::vector<int>> nodes_;  // -1: the network between nodes
  std::string out_;
};

Description::Description(const Topology& topology) : topology_(&topology) {
  const ClusterSpec& spec = topology.spec();
  neighbours_.resize(spec.vertices.size());
  for (const LinkSpec& link : spec.links) {
    neighbours_[link.from].push_back({link.to, &link});
  }
  for (std::size_t i = 0; i < spec.vertices.size(); ++i) {
    nodes_[spec.vertices[i].node].push_back(static_cast<int>(i));
  }
}

std::string Description::text() {
  add_header();
  add_nodes();
  add_network();
  add_matrix();
  return out_;
}

void Description::add_header() {
  const ClusterSpec& spec = topology_->spec();
  const auto servers = nodes_.size() - nodes_.count(-1);
  out_ += fmt::format("{}: {} GPU{}, {} node{}, {} links\n", spec.name, topology_->gpu_count(),
                      topology_->gpu_count() == 1 ? "" : "s", servers, servers == 1 ? "" : "s",
                      topology_->link_count());
  if (!spec.profile.empty()) {
    out_ += fmt::format("default profile: {}\n", spec.profile);
  }
  if (!spec.source.empty()) {
    add_wrapped(out_, "source: " + spec.source);
  }
}

// What two nodes must share to be shown once: kinds of devices and parameters of links, in order.
std::string Description::signature(int node) const {
  std::string text;
  const std::vector<int>& members = nodes_.at(node);
  const int base = members.front();
  for (const int vertex : members) {
    text += fmt::format("{};", static_cast<int>(kind(vertex)));
    for (const Neighbour& next : neighbours_[vertex]) {
      if (topology_->vertex(next.vertex).node == node) {
        text += fmt::format("{},{},{},{};", next.vertex - base, parameters(*next.link),
                            static_cast<int>(next.link->link_class), vertex - base);
      }
    }
  }
  return text;
}

void Description::add_nodes() {
  std::map<std::string, std::vector<int>> alike;
  std::vector<int> firsts;
  for (const auto& [node, members] : nodes_) {
    if (node < 0) {
      continue;
    }
    std::vector<int>& group = alike[signature(node)];
    if (group.empty()) {
      firsts.push_back(node);
    }
    group.push_back(node);
  }
  for (const int node : firsts) {
    const std::vector<int>& group = alike[signature(node)];
    std::vector<std::string> copies;
    for (std::size_t i = 1; i < group.size(); ++i) {
      copies.push_back(std::to_string(group[i]));
    }
    add_wrapped(out_, copies.empty()
                          ? fmt::format("node {}", node)
                          : fmt::format("node {} (nodes {} are alike)", node, compress(copies)));
    add_node(node);
  }
}

void Description::add_node(int node) {
  std::vector<int> nvswitches;
  std::vector<int> roots;
  for (const int vertex : nodes_[node]) {
    if (kind(vertex) == VertexKind::nvswitch) {
      nvswitches.push_back(vertex);
    } else if (kind(vertex) == VertexKind::root_complex) {
      roots.push_back(vertex);
    }
  }
  add_stars(node, LinkClass::nvlink, nvswitches);
  add_pairs(node, LinkClass::nvlink);
  std::set<int> shown;
  for (const int root : roots) {
    add_tree(root, nullptr, 1, shown);
  }
  // A PCIe switch that no socket is known of.
  for (const int vertex : nodes_[node]) {
    if (kind(vertex) == VertexKind::pcie_switch && !shown.contains(vertex)) {
      add_tree(vertex, nullptr, 1, shown);
    }
  }
  add_pairs(node, LinkClass::sys);
}

void Description::add_tree(int vertex, const LinkSpec* up, int depth, std::set<int>& shown) {
  shown.insert(vertex);
  std::string line(2 * static_cast<std::size_t>(depth), ' ');
  line += id(vertex);
  if (up != nullptr) {
    line += fmt::format("  {} ({})", parameters(*up), name(up->link_class));
  }
  add_wrapped(out_, line);
  for (const Neighbour& next : neighbours_[vertex]) {
    if (pcie(*next.link) && !shown.contains(next.vertex)) {
      add_tree(next.vertex, next.link, depth + 1, shown);
    }
  }
}

// A switch and what hangs off it, one line per set of equal link parameters.
void Description::add_stars(int node, LinkClass link_class, const std::vector<int>& centres) {
  for (const int centre : centres) {
    std::map<std::string, std::vector<std::string>> spokes;
    for (const Neighbour& next : neighbours_[centre]) {
      if (next.link->link_class == link_class &&
          (node < 0 || topology_->vertex(next.vertex).node == node)) {
        spokes[parameters(*next.link)].push_back(id(next.vertex));
      }
    }
    for (const auto& [link, ids] : spokes) {
      add_wrapped(out_, fmt::format("  {}{} -- {}  {} ({})", id(centre),
                                    topology_->vertex(centre).multicast ? " [multicast]" : "",
                                    compress(ids), link, name(link_class)));
    }
  }
}

// Links of a class that involve no switch: NVLink bridges, links between sockets.
void Description::add_pairs(int node, LinkClass link_class) {
  std::map<std::tuple<int, std::string>, std::vector<std::string>> pairs;
  for (const int vertex : nodes_[node]) {
    if (kind(vertex) == VertexKind::nvswitch) {
      continue;
    }
    for (const Neighbour& next : neighbours_[vertex]) {
      if (next.link->link_class == link_class && next.vertex > vertex &&
          kind(next.vertex) != VertexKind::nvswitch) {
        pairs[{vertex, parameters(*next.link)}].push_back(id(next.vertex));
      }
    }
  }
  for (const auto& [key, ids] : pairs) {
    add_wrapped(out_, fmt::format("  {} -- {}  {} ({})", id(std::get<0>(key)), compress(ids),
                                  std::get<1>(key), name(link_class)));
  }
}

void Description::add_network() {
  const std::vector<int> switches = topology_->vertices_of_kind(VertexKind::network_switch);
  if (switches.empty()) {
    return;
  }
  out_ += "network\n";
  constexpr std::size_t kShown = 6;
  add_stars(-1, LinkClass::network,
            {switches.begin(), switches.begin() + std::min(switches.size(), kShown)});
  if (switches.size() > kShown) {
    out_ += fmt::format("  ... and {} more switches\n", switches.size() - kShown);
  }
}

void Description::add_matrix() {
  const int gpus = topology_->gpu_count();
  if (gpus < 2 || gpus > kMatrixGpus) {
    return;
  }
  out_ += "routes between GPUs\n     ";
  for (int j = 0; j < gpus; ++j) {
    out_ += fmt::format("{:>4}", j);
  }
  out_ += "\n";
  for (int i = 0; i < gpus; ++i) {
    out_ += fmt::format("{:>4} ", i);
    for (int j = 0; j < gpus; ++j) {
      std::string_view cell = "X";
      if (i != j) {
        try {
          cell = kShortClass[static_cast<std::size_t>(topology_->route_class(i, j))];
        } catch (const InputError&) {
          cell = "none";
        }
      }
      out_ += fmt::format("{:>4}", cell);
    }
    out_ += "\n";
  }
}

std::string_view shape(VertexKind kind) {
  switch (kind) {
    case VertexKind::gpu:
      return "box";
    case VertexKind::nvswitch:
    case VertexKind::pcie_switch:
    case VertexKind::network_switch:
      return "diamond";
    case VertexKind::root_complex:
      return "house";
    case VertexKind::nic:
      return "cds";
    case VertexKind::host_memory:
      return "cylinder";
  }
  return "ellipse";
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

std::string dot_edge(const ClusterSpec& spec, const LinkSpec& link, bool both) {
  return fmt::format("  {} -> {} [label=\"{}\\n{}\"{}];\n", quoted(spec.vertices[link.from].id),
                     quoted(spec.vertices[link.to].id), parameters(link), name(link.link_class),
                     both ? ", dir=both" : "");
}

}  // namespace

std::string describe(const Topology& topology) { return Description(topology).text(); }

std::string to_dot(const Topology& topology) {
  const ClusterSpec& spec = topology.spec();
  std::string out = fmt::format("digraph {} {{\n  rankdir=BT;\n", quoted(spec.name));
  std::map<int, std::vector<const VertexSpec*>> nodes;
  for (const VertexSpec& vertex : spec.vertices) {
    nodes[vertex.node].push_back(&vertex);
  }
  for (const auto& [node, members] : nodes) {
    if (node >= 0) {
      out += fmt::format("  subgraph cluster_{} {{\n    label=\"node {}\";\n", node, node);
    }
    for (const VertexSpec* vertex : members) {
      out += fmt::format("  {}{} [shape={}];\n", node >= 0 ? "  " : "", quoted(vertex->id),
                         shape(vertex->kind));
    }
    out += node >= 0 ? "  }\n" : "";
  }
  // The reverse of a link, where equal, is drawn with it: the first unmatched one of that key.
  using Key = std::tuple<int, int, double, std::int64_t, LinkClass>;
  std::map<Key, int> waiting;
  for (const LinkSpec& link : spec.links) {
    ++waiting[{link.from, link.to, link.bandwidth.bytes_per_second, link.latency.count(),
               link.link_class}];
  }
  for (const LinkSpec& link : spec.links) {
    int& own = waiting[{link.from, link.to, link.bandwidth.bytes_per_second, link.latency.count(),
                        link.link_class}];
    if (own == 0) {
      continue;  // drawn with its reverse
    }
    --own;
    const auto reverse = waiting.find({link.to, link.from, link.bandwidth.bytes_per_second,
                                       link.latency.count(), link.link_class});
    const bool both = reverse != waiting.end() && reverse->second > 0;
    if (both) {
      --reverse->second;
    }
    out += dot_edge(spec, link, both);
  }
  return out + "}\n";
}

}  // namespace foretoken
