#include "sim/topology/topology.h"

#include <algorithm>
#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <map>
#include <mutex>
#include <queue>
#include <shared_mutex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken {
namespace {

struct Edge {
  LinkId link = 0;
  std::int64_t latency = 0;
  LinkClass link_class = LinkClass::nvlink;
};
using Graph = boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, Edge,
                                                 boost::no_property, std::uint32_t, std::uint32_t>;

// Every vertex of the cluster is two of the search graph, so that what must not forward cannot:
//   GPU, host memory   side 0 only has links out, side 1 only links in
//   NIC                side 0 goes from PCIe to the network, side 1 from the network to PCIe
//   anything else      side 0 only
std::uint32_t side(int vertex, int which) { return static_cast<std::uint32_t>(2 * vertex + which); }

bool is_end(VertexKind kind) { return kind == VertexKind::gpu || kind == VertexKind::host_memory; }

std::uint32_t tail_of(const ClusterSpec& spec, const LinkSpec& link) {
  const bool nic = spec.vertices[link.from].kind == VertexKind::nic;
  return side(link.from, nic && link.link_class != LinkClass::network ? 1 : 0);
}

std::uint32_t head_of(const ClusterSpec& spec, const LinkSpec& link) {
  const VertexKind kind = spec.vertices[link.to].kind;
  if (kind == VertexKind::nic) {
    return side(link.to, link.link_class == LinkClass::network ? 1 : 0);
  }
  return side(link.to, is_end(kind) ? 1 : 0);
}

Graph make_graph(const ClusterSpec& spec) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ends;
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < spec.links.size(); ++i) {
    const LinkSpec& link = spec.links[i];
    ends.emplace_back(tail_of(spec, link), head_of(spec, link));
    edges.push_back({static_cast<LinkId>(i), link.latency.count(), link.link_class});
  }
  return {boost::edges_are_unsorted_multi_pass, ends.begin(), ends.end(), edges.begin(),
          static_cast<std::uint32_t>(2 * spec.vertices.size())};
}

void check_vertices(const ClusterSpec& spec) {
  std::unordered_map<std::string, const VertexSpec*> seen;
  for (const VertexSpec& vertex : spec.vertices) {
    const auto [it, fresh] = seen.emplace(vertex.id, &vertex);
    if (!fresh) {
      throw InputError(vertex.mark, "vertices",
                       fmt::format("duplicate device \"{}\"; the first stands at {}; give each its "
                                   "own id",
                                   vertex.id, to_string(it->second->mark)));
    }
  }
}

void check_links(const ClusterSpec& spec) {
  for (const LinkSpec& link : spec.links) {
    const std::string& from = spec.vertices.at(link.from).id;
    const std::string& to = spec.vertices.at(link.to).id;
    const std::string name = fmt::format("link from \"{}\" to \"{}\"", from, to);
    if (link.from == link.to) {
      throw InputError(link.mark, "links", name + " joins a device to itself; remove it");
    }
    if (!(link.bandwidth.bytes_per_second > 0)) {
      throw InputError(link.mark, "links",
                       name +
                           " has no bandwidth; state a positive one, such as 450GB/s, or "
                           "remove the link");
    }
    if (link.latency < kTimeZero) {
      throw InputError(link.mark, "links", name + " has a negative latency");
    }
  }
}

// What a device hangs off. Devices with equal attachments share their routes.
struct Attachment {
  int vertex;
  LinkClass link_class;
  std::int64_t latency;
  LinkId link;
  auto key() const { return std::tuple(vertex, link_class, latency); }
};
struct Attachments {
  std::vector<Attachment> links;  // sorted by key(), then link
  int group = 0;                  // equal for devices that hang off the same switches alike
};

using AttachmentKey = std::vector<std::tuple<int, LinkClass, std::int64_t>>;

// A way between two groups of devices: out over the from-device's attachment `out`, through
// `middle`, in over the to-device's attachment `in`. Or `direct`, a link between the two.
struct Way {
  int out = 0;
  int in = 0;
  std::vector<LinkId> middle;
  Time latency = kTimeZero;
};
struct Ways {
  std::vector<Way> equal;  // empty: unreachable
  LinkClass worst = LinkClass::nvlink;
};

// Dijkstra by (latency, hops) that stops at its target and keeps every equal predecessor.
class Search {
 public:
  explicit Search(const Graph& graph) : graph_(&graph), states_(boost::num_vertices(graph)) {}

  bool run(std::uint32_t source, std::uint32_t target, LinkClass limit);
  // Number of equal routes, capped; and one of them by rank, as links in travel order.
  std::int64_t count(std::uint32_t vertex);
  std::vector<LinkId> path(std::uint32_t target, std::int64_t rank);

 private:
  static constexpr std::int64_t kCountCap = 1 << 20;
  struct Cost {
    std::int64_t latency;
    int hops;
    bool operator==(const Cost&) const = default;
    bool operator<(const Cost& o) const {
      return latency != o.latency ? latency < o.latency : hops < o.hops;
    }
    bool operator>(const Cost& o) const { return o < *this; }
  };
  struct Predecessor {
    std::uint32_t vertex;
    LinkId link;
    int next;
  };
  struct State {
    Cost cost;
    int first_predecessor;
    std::int64_t count;  // 0: not yet known
    std::uint32_t stamp = 0;
  };
  void relax(std::uint32_t from, std::uint32_t to, const Edge& edge);

  using Item = std::tuple<Cost, std::uint32_t>;
  const Graph* graph_;
  std::vector<State> states_;
  std::vector<Predecessor> predecessors_;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> open_;
  std::uint32_t source_ = 0;
  std::uint32_t stamp_ = 0;
};

void Search::relax(std::uint32_t from, std::uint32_t to, const Edge& edge) {
  const Cost cost{states_[from].cost.latency + edge.latency, states_[from].cost.hops + 1};
  State& state = states_[to];
  if (state.stamp == stamp_ && cost > state.cost) {
    return;
  }
  const bool better = state.stamp != stamp_ || cost < state.cost;
  predecessors_.push_back({from, edge.link, better ? -1 : state.first_predecessor});
  const int entry = static_cast<int>(predecessors_.size() - 1);
  if (better) {
    open_.emplace(cost, to);
  }
  state = {cost, entry, 0, stamp_};
}

bool Search::run(std::uint32_t source, std::uint32_t target, LinkClass limit) {
  ++stamp_;
  source_ = source;
  predecessors_.clear();
  open_ = {};
  states_[source] = {{0, 0}, -1, 1, stamp_};
  open_.emplace(Cost{0, 0}, source);
  while (!open_.empty()) {
    const auto [cost, vertex] = open_.top();
    open_.pop();
    if (cost != states_[vertex].cost) {
      continue;
    }
    if (vertex == target) {
      return true;
    }
    const auto [begin, end] = boost::out_edges(vertex, *graph_);
    for (auto it = begin; it != end; ++it) {
      const Edge& edge = (*graph_)[*it];
      if (edge.link_class <= limit) {
        relax(vertex, static_cast<std::uint32_t>(boost::target(*it, *graph_)), edge);
      }
    }
  }
  return false;
}

std::int64_t Search::count(std::uint32_t vertex) {
  State& state = states_[vertex];
  if (state.count == 0) {
    std::int64_t sum = 0;
    for (int i = state.first_predecessor; i >= 0; i = predecessors_[i].next) {
      sum += count(predecessors_[i].vertex);
    }
    state.count = std::min(sum, kCountCap);
  }
  return state.count;
}

std::vector<LinkId> Search::path(std::uint32_t target, std::int64_t rank) {
  std::vector<LinkId> links;
  for (std::uint32_t vertex = target; vertex != source_;) {
    int i = states_[vertex].first_predecessor;
    // Capped counts may leave a rank over: the last predecessor takes it.
    while (rank >= count(predecessors_[i].vertex) && predecessors_[i].next >= 0) {
      rank -= count(predecessors_[i].vertex);
      i = predecessors_[i].next;
    }
    rank = std::min(rank, count(predecessors_[i].vertex) - 1);
    links.push_back(predecessors_[i].link);
    vertex = predecessors_[i].vertex;
  }
  std::reverse(links.begin(), links.end());
  return links;
}

}  // namespace

struct Topology::Impl {
  explicit Impl(ClusterSpec cluster);

  void attach();
  int intern(std::map<AttachmentKey, int>& groups, int vertex, const Attachments& attachments);
  const Ways& ways(int from, int to);
  Ways search(int from, int to);
  Way way_of(const std::vector<LinkId>& links, int from, int to) const;

  ClusterSpec spec;
  Graph graph;
  std::vector<int> gpus;
  std::vector<Attachments> out;  // by vertex; filled for ends only
  std::vector<Attachments> in;
  mutable std::shared_mutex mutex;
  Search scratch;
  std::unordered_map<std::uint64_t, Ways> remembered;  // by (out group, in group)
};

Topology::Impl::Impl(ClusterSpec cluster)
    : spec((check_vertices(cluster), check_links(cluster), std::move(cluster))),
      graph(make_graph(spec)),
      scratch(graph) {
  for (std::size_t i = 0; i < spec.vertices.size(); ++i) {
    if (spec.vertices[i].kind == VertexKind::gpu) {
      gpus.push_back(static_cast<int>(i));
    }
  }
  if (gpus.empty()) {
    throw InputError(SourceMark{spec.file, 0, 0}, "build",
                     "the cluster has no gpu; add a builder step or a vertex of kind gpu");
  }
  attach();
}

void Topology::Impl::attach() {
  out.resize(spec.vertices.size());
  in.resize(spec.vertices.size());
  for (std::size_t i = 0; i < spec.links.size(); ++i) {
    const LinkSpec& link = spec.links[i];
    const auto id = static_cast<LinkId>(i);
    if (is_end(spec.vertices[link.from].kind)) {
      out[link.from].links.push_back({link.to, link.link_class, link.latency.count(), id});
    }
    if (is_end(spec.vertices[link.to].kind)) {
      in[link.to].links.push_back({link.from, link.link_class, link.latency.count(), id});
    }
  }
  std::map<AttachmentKey, int> out_groups;
  std::map<AttachmentKey, int> in_groups;
  const auto by_key = [](const Attachment& a, const Attachment& b) {
    return std::pair(a.key(), a.link) < std::pair(b.key(), b.link);
  };
  for (std::size_t i = 0; i < spec.vertices.size(); ++i) {
    const int vertex = static_cast<int>(i);
    std::sort(out[i].links.begin(), out[i].links.end(), by_key);
    std::sort(in[i].links.begin(), in[i].links.end(), by_key);
    out[i].group = intern(out_groups, vertex, out[i]);
    in[i].group = intern(in_groups, vertex, in[i]);
  }
}

int Topology::Impl::intern(std::map<AttachmentKey, int>& groups, int vertex,
                           const Attachments& attachments) {
  AttachmentKey key;
  bool shared = true;
  for (const Attachment& attachment : attachments.links) {
    key.push_back(attachment.key());
    shared &= !is_end(spec.vertices[attachment.vertex].kind);
  }
  if (!shared || key.empty()) {
    // Linked to another device directly: its routes are its own.
    key.emplace_back(-1 - vertex, LinkClass::nvlink, 0);
  }
  return groups.emplace(std::move(key), static_cast<int>(groups.size())).first->second;
}

Way Topology::Impl::way_of(const std::vector<LinkId>& links, int from, int to) const {
  const auto find = [](const Attachments& attachments, LinkId link) {
    const auto it = std::find_if(attachments.links.begin(), attachments.links.end(),
                                 [&](const Attachment& a) { return a.link == link; });
    return static_cast<int>(it - attachments.links.begin());
  };
  Way way;
  for (const LinkId link : links) {
    way.latency += spec.links[link].latency;
  }
  way.out = find(out[from], links.front());
  way.in = links.size() == 1 ? -1 : find(in[to], links.back());
  if (links.size() > 2) {
    way.middle.assign(links.begin() + 1, links.end() - 1);
  }
  return way;
}

Ways Topology::Impl::search(int from, int to) {
  Ways ways;
  const std::uint32_t target = side(to, 1);
  for (int c = 0; c <= static_cast<int>(LinkClass::network); ++c) {
    ways.worst = static_cast<LinkClass>(c);
    if (!scratch.run(side(from, 0), target, ways.worst)) {
      continue;
    }
    const std::int64_t count = scratch.count(target);
    const std::int64_t kept = std::min<std::int64_t>(count, kMaxEqualRoutes);
    for (std::int64_t i = 0; i < kept; ++i) {
      ways.equal.push_back(way_of(scratch.path(target, i * count / kept), from, to));
    }
    break;
  }
  return ways;
}

const Ways& Topology::Impl::ways(int from, int to) {
  const std::uint64_t key = (static_cast<std::uint64_t>(out[from].group) << 32) |
                            static_cast<std::uint32_t>(in[to].group);
  const Ways* found = nullptr;
  {
    const std::shared_lock lock(mutex);
    const auto it = remembered.find(key);
    found = it == remembered.end() ? nullptr : &it->second;
  }
  if (found == nullptr) {
    const std::unique_lock lock(mutex);
    const auto it = remembered.find(key);
    // References into the map stay valid while others insert.
    found = it != remembered.end() ? &it->second
                                   : &remembered.emplace(key, search(from, to)).first->second;
  }
  if (found->equal.empty()) {
    const SourceMark& stated = spec.vertices[from].mark;
    throw InputError(stated.line > 0 ? stated : SourceMark{spec.file, 0, 0}, "links",
                     fmt::format("there is no path from \"{}\" to \"{}\"; GPUs and host memory "
                                 "never forward, so add a link or a switch",
                                 spec.vertices[from].id, spec.vertices[to].id));
  }
  return *found;
}

Topology::Topology(ClusterSpec spec) : impl_(std::make_unique<Impl>(std::move(spec))) {}
Topology::~Topology() = default;
Topology::Topology(Topology&&) noexcept = default;
Topology& Topology::operator=(Topology&&) noexcept = default;

const ClusterSpec& Topology::spec() const { return impl_->spec; }
int Topology::gpu_count() const { return static_cast<int>(impl_->gpus.size()); }
int Topology::vertex_of_gpu(int gpu) const { return impl_->gpus.at(gpu); }
int Topology::node_of_gpu(int gpu) const { return vertex(vertex_of_gpu(gpu)).node; }
const VertexSpec& Topology::vertex(int vertex) const { return impl_->spec.vertices.at(vertex); }
const LinkSpec& Topology::link(LinkId id) const { return impl_->spec.links.at(id); }
int Topology::link_count() const { return static_cast<int>(impl_->spec.links.size()); }

std::vector<int> Topology::vertices_of_kind(VertexKind kind) const {
  std::vector<int> found;
  for (std::size_t i = 0; i < impl_->spec.vertices.size(); ++i) {
    if (impl_->spec.vertices[i].kind == kind) {
      found.push_back(static_cast<int>(i));
    }
  }
  return found;
}

Route Topology::route(int from_gpu, int to_gpu, std::uint64_t flow) const {
  return route_between(vertex_of_gpu(from_gpu), vertex_of_gpu(to_gpu), flow);
}

LinkClass Topology::route_class(int from_gpu, int to_gpu) const {
  return route_class_between(vertex_of_gpu(from_gpu), vertex_of_gpu(to_gpu));
}

Route Topology::route_between(int from_vertex, int to_vertex, std::uint64_t flow) const {
  Route route;
  if (from_vertex == to_vertex) {
    return route;
  }
  FT_CHECK(is_end(vertex(from_vertex).kind) && is_end(vertex(to_vertex).kind),
           "routes go between GPUs and host memory, not from {} to {}", vertex(from_vertex).id,
           vertex(to_vertex).id);
  const Ways& ways = impl_->ways(from_vertex, to_vertex);
  std::size_t pick = 0;
  if (ways.equal.size() > 1) {
    const std::uint64_t ends = hash_combine(static_cast<std::uint64_t>(from_vertex),
                                            static_cast<std::uint64_t>(to_vertex));
    pick = hash_combine(ends, flow) % ways.equal.size();
  }
  const Way& way = ways.equal[pick];
  route.latency = way.latency;
  route.links.reserve(way.middle.size() + 2);
  route.links.push_back(impl_->out[from_vertex].links[way.out].link);
  route.links.insert(route.links.end(), way.middle.begin(), way.middle.end());
  if (way.in >= 0) {
    route.links.push_back(impl_->in[to_vertex].links[way.in].link);
  }
  return route;
}

LinkClass Topology::route_class_between(int from_vertex, int to_vertex) const {
  return from_vertex == to_vertex ? LinkClass::nvlink : impl_->ways(from_vertex, to_vertex).worst;
}

std::size_t Topology::remembered_pairs() const {
  const std::shared_lock lock(impl_->mutex);
  return impl_->remembered.size();
}

}  // namespace foretoken
