#include "reports/topology_drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "sim/core/quantity.h"

namespace foretoken::reports {
namespace {

// Rows of the drawing from top to bottom. Host memory is left out: no traffic of a run reaches it.
constexpr int kRows = 6;
int row_of(VertexKind kind) {
  switch (kind) {
    case VertexKind::network_switch:
      return 0;
    case VertexKind::root_complex:
      return 1;
    case VertexKind::pcie_switch:
      return 2;
    case VertexKind::nic:
      return 3;
    case VertexKind::gpu:
      return 4;
    case VertexKind::nvswitch:
      return 5;
    case VertexKind::host_memory:
      break;
  }
  return -1;
}

constexpr double kBoxWidth = 84, kBoxHeight = 26, kGap = 12, kMargin = 10, kRowStep = 84;
// A switch's links to its GPUs pass between the NICs.
constexpr double kNicShift = (kBoxWidth + kGap) / 2;
constexpr std::array kHeat{0.0, 0.05, 0.2, 0.5};  // utilisation above which a class begins
constexpr std::array<std::string_view, 5> kHeatNames{"idle", "up to 5 %", "5 to 20 %", "20 to 50 %",
                                                     "above 50 %"};

int heat(double utilisation) {
  int level = 0;
  for (const double edge : kHeat) {
    level += utilisation > edge ? 1 : 0;
  }
  return level;
}

class Drawer {
 public:
  Drawer(const Topology& topology, const std::vector<double>& bytes, Time duration, int max_gpus)
      : topology_(topology), bytes_(bytes), seconds_(to_seconds(duration)) {
    choose(max_gpus);
    lay_out();
  }

  double utilisation(LinkId id) const {
    const double bandwidth = topology_.link(id).bandwidth.bytes_per_second;
    return seconds_ > 0 ? bytes_[static_cast<std::size_t>(id)] / (bandwidth * seconds_) : 0;
  }

  std::string svg();
  int drawn_nodes() const { return static_cast<int>(nodes_.size()); }
  int nodes_in_use() const { return in_use_; }

 private:
  struct Place {
    double x = 0, y = 0;  // of the centre
  };

  // Nodes with traffic first, whole nodes at a time.
  void choose(int max_gpus) {
    std::map<int, int> gpus;  // by node
    for (int i = 0; i < topology_.gpu_count(); ++i) {
      ++gpus[topology_.node_of_gpu(i)];
    }
    std::set<int> busy;
    for (LinkId id = 0; id < topology_.link_count(); ++id) {
      if (bytes_[static_cast<std::size_t>(id)] > 0) {
        for (const int end : {topology_.link(id).from, topology_.link(id).to}) {
          if (gpus.contains(topology_.vertex(end).node)) {
            busy.insert(topology_.vertex(end).node);
          }
        }
      }
    }
    if (busy.empty()) {
      busy.insert(gpus.begin()->first);
    }
    in_use_ = static_cast<int>(busy.size());
    int sum = 0;
    for (const int node : busy) {
      sum += gpus[node];
      if (!nodes_.empty() && sum > max_gpus) {
        break;
      }
      nodes_.insert(node);
    }
  }

  // A switch of the network is drawn when it has a link to something drawn in a node.
  bool shown(int vertex) const { return places_.contains(vertex); }

  void lay_out() {
    std::array<std::vector<int>, kRows> rows;
    const auto& vertices = topology_.spec().vertices;
    for (std::size_t v = 0; v < vertices.size(); ++v) {
      const int row = row_of(vertices[v].kind);
      if (row > 0 && nodes_.contains(vertices[v].node)) {
        rows[static_cast<std::size_t>(row)].push_back(static_cast<int>(v));
      }
    }
    std::set<int> members;
    for (const auto& row : rows) {
      members.insert(row.begin(), row.end());
    }
    std::set<int> switches;
    for (LinkId id = 0; id < topology_.link_count(); ++id) {
      const LinkSpec& link = topology_.link(id);
      for (const auto& [a, b] : {std::pair(link.from, link.to), std::pair(link.to, link.from)}) {
        if (members.contains(a) &&
            vertices[static_cast<std::size_t>(b)].kind == VertexKind::network_switch) {
          switches.insert(b);
        }
      }
    }
    rows[0].assign(switches.begin(), switches.end());
    std::size_t widest = 1;
    for (const auto& row : rows) {
      widest = std::max(widest, row.size());
    }
    const double columns = static_cast<double>(widest) * (kBoxWidth + kGap);
    width_ = 2 * kMargin + columns + kNicShift;
    double y = kMargin + kBoxHeight / 2;
    for (const auto& row : rows) {
      if (row.empty()) {
        continue;
      }
      const double step = columns / static_cast<double>(row.size());
      const bool nics = topology_.vertex(row.front()).kind == VertexKind::nic;
      for (std::size_t i = 0; i < row.size(); ++i) {
        places_[row[i]] = {kMargin + (static_cast<double>(i) + 0.5) * step + (nics ? kNicShift : 0),
                           y};
      }
      y += kRowStep;
    }
    height_ = y - kRowStep + kBoxHeight / 2 + kMargin;
  }

  std::string edge(int from, int to, double used, const std::string& note) const;
  std::string box(int vertex) const;
  std::string legend();

  const Topology& topology_;
  const std::vector<double>& bytes_;
  double seconds_;
  std::set<int> nodes_;
  int in_use_ = 0;
  std::map<int, Place> places_;  // of the vertices drawn
  double width_ = 0, height_ = 0;
};

// Between rows a line, within one an arc below it.
std::string Drawer::edge(int from, int to, double used, const std::string& note) const {
  const Place a = places_.at(from), b = places_.at(to);
  std::string path;
  if (a.y == b.y) {
    const double drop = kBoxHeight / 2 + std::min(kRowStep / 2, 10 + std::abs(a.x - b.x) / 8);
    path = fmt::format("M{:.0f} {:.0f}Q{:.0f} {:.0f} {:.0f} {:.0f}", a.x, a.y + kBoxHeight / 2,
                       (a.x + b.x) / 2, a.y + kBoxHeight / 2 + drop, b.x, b.y + kBoxHeight / 2);
  } else {
    path = fmt::format("M{:.0f} {:.0f}L{:.0f} {:.0f}", a.x, a.y, b.x, b.y);
  }
  return fmt::format("<path class=\"link heat-{}\" d=\"{}\"><title>{}</title></path>\n", heat(used),
                     path, page::escape(note));
}

std::string Drawer::box(int vertex) const {
  const VertexSpec& spec = topology_.vertex(vertex);
  const Place at = places_.at(vertex);
  // The prefix of the node goes into the title where the name is long.
  std::string label = spec.id;
  if (const std::size_t dot = label.rfind('.'); label.size() > 10 && dot != std::string::npos) {
    label = label.substr(dot + 1);
  }
  return fmt::format(
      "<g><title>{}, {}</title><rect class=\"{}\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{}\" "
      "height=\"{}\" rx=\"4\"/><text x=\"{:.0f}\" y=\"{:.0f}\" "
      "text-anchor=\"middle\">{}</text></g>\n",
      page::escape(spec.id), name(spec.kind), spec.kind == VertexKind::gpu ? "gpu" : "box",
      at.x - kBoxWidth / 2, at.y - kBoxHeight / 2, kBoxWidth, kBoxHeight, at.x, at.y + 4,
      page::escape(label));
}

std::string Drawer::legend() {
  std::string out;
  const double y = height_ + 8;
  double x = kMargin;
  constexpr double kEntry = 112;
  const double columns = std::max(1.0, std::floor((width_ - 2 * kMargin) / kEntry));
  for (std::size_t i = 0; i < kHeatNames.size(); ++i) {
    const double row = std::floor(static_cast<double>(i) / columns);
    x = kMargin + kEntry * (static_cast<double>(i) - row * columns);
    out += fmt::format(
        "<path class=\"link heat-{0}\" d=\"M{1:.0f} {2:.0f}h24\"/><text x=\"{3:.0f}\" "
        "y=\"{4:.0f}\">{5}</text>\n",
        i, x, y + 18 * row, x + 30, y + 18 * row + 4, kHeatNames[i]);
  }
  height_ = y + 18 * std::ceil(static_cast<double>(kHeatNames.size()) / columns) + 4;
  return out;
}

std::string Drawer::svg() {
  struct Pair {
    double used = 0;
    std::string note;
  };
  std::map<std::pair<int, int>, Pair> edges;  // both directions are one line
  for (LinkId id = 0; id < topology_.link_count(); ++id) {
    const LinkSpec& link = topology_.link(id);
    if (!shown(link.from) || !shown(link.to)) {
      continue;
    }
    Pair& pair = edges[std::minmax(link.from, link.to)];
    pair.used = std::max(pair.used, utilisation(id));
    pair.note += fmt::format("{}{} to {}: {:.1f} % of {}", pair.note.empty() ? "" : "; ",
                             topology_.vertex(link.from).id, topology_.vertex(link.to).id,
                             100 * utilisation(id),
                             format_quantity(link.bandwidth.bytes_per_second, Unit::bandwidth));
  }
  std::string body;
  for (const auto& [ends, pair] : edges) {
    body += edge(ends.first, ends.second, pair.used, pair.note);
  }
  for (const auto& [vertex, place] : places_) {
    body += box(vertex);
  }
  body += legend();
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 "
      "0 "
      "{0:.0f} {1:.0f}\">\n{2}</svg>\n",
      width_, height_, body);
}

}  // namespace

page::Drawing topology_drawing(const Topology& topology, const std::vector<double>& bytes,
                               Time duration, int max_gpus) {
  constexpr std::size_t kMostRows = 200;
  Drawer drawer(topology, bytes, duration, max_gpus);
  std::vector<LinkId> used;
  for (LinkId id = 0; id < topology.link_count(); ++id) {
    if (bytes[static_cast<std::size_t>(id)] > 0) {
      used.push_back(id);
    }
  }
  std::stable_sort(used.begin(), used.end(), [&](LinkId a, LinkId b) {
    return drawer.utilisation(a) > drawer.utilisation(b);
  });
  page::Drawing drawing;
  drawing.title = fmt::format("Links of {}", topology.spec().name);
  drawing.description =
      used.empty()
          ? "No link carries traffic: every replica is one GPU."
          : fmt::format(
                "Share of each link's bandwidth used over the whole run; of two directions "
                "the busier. Busiest: {} to {}, {:.2g} %.",
                topology.vertex(topology.link(used.front()).from).id,
                topology.vertex(topology.link(used.front()).to).id,
                100 * drawer.utilisation(used.front()));
  drawing.svg = drawer.svg();
  if (drawer.drawn_nodes() < drawer.nodes_in_use()) {
    drawing.description += fmt::format(" {} of {} nodes in use are drawn.", drawer.drawn_nodes(),
                                       drawer.nodes_in_use());
  }
  drawing.numbers.caption = drawing.title;
  drawing.numbers.columns = {{"From", false},      {"To", false}, {"Class", false},
                             {"Bandwidth", false}, {"Sent, GB"},  {"Use, %"}};
  for (const LinkId id : used) {
    if (drawing.numbers.rows.size() == kMostRows) {
      drawing.description +=
          fmt::format(" The table holds the {} most used of {} links.", kMostRows, used.size());
      break;
    }
    const LinkSpec& link = topology.link(id);
    drawing.numbers.rows.push_back(
        {topology.vertex(link.from).id, topology.vertex(link.to).id,
         std::string(name(link.link_class)),
         format_quantity(link.bandwidth.bytes_per_second, Unit::bandwidth),
         page::number(bytes[static_cast<std::size_t>(id)] / 1e9),
         page::number(100 * drawer.utilisation(id))});
  }
  return drawing;
}

}  // namespace foretoken::reports
