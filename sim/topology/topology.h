// The device graph and its routes. The only user of Boost.Graph (in the .cpp).
//
// GPUs and host memory never forward traffic; a NIC forwards only between its PCIe side and its
// network side. Routes minimise (worst link class, then latency, then hops); equal ones are chosen
// by hash (ECMP). They are computed on demand and remembered; safe to call from several threads.
//
// What is remembered is the way between the switches that two devices hang off, so that all GPUs
// under the same pair of switches share one entry and pods of 16,384 GPUs fit in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/core/units.h"
#include "sim/spec/cluster.h"

namespace foretoken {

using LinkId = std::int32_t;

struct Route {
  std::vector<LinkId> links;  // in travel order; empty when from == to
  Time latency = kTimeZero;   // sum over the links
};

class Topology {
 public:
  // Equal routes between two switches beyond this many are not told apart by ECMP.
  static constexpr int kMaxEqualRoutes = 16;

  // Throws InputError (with the mark of the offending line): duplicate ids, no GPU, a link of zero
  // bandwidth, a link to itself.
  explicit Topology(ClusterSpec spec);
  ~Topology();
  Topology(Topology&&) noexcept;
  Topology& operator=(Topology&&) noexcept;

  const ClusterSpec& spec() const;
  int gpu_count() const;
  int vertex_of_gpu(int gpu) const;
  int node_of_gpu(int gpu) const;
  const VertexSpec& vertex(int vertex) const;
  const LinkSpec& link(LinkId id) const;
  int link_count() const;
  // Indices of the vertices of one kind, in the order of the file.
  std::vector<int> vertices_of_kind(VertexKind kind) const;

  // Between GPUs, by GPU index. Throws InputError naming both when there is no path.
  // `flow` picks among equal routes.
  Route route(int from_gpu, int to_gpu, std::uint64_t flow = 0) const;
  // The weakest link class on the way; nvlink from a GPU to itself.
  LinkClass route_class(int from_gpu, int to_gpu) const;

  // The same between any two vertices that can be ends: GPUs and host memory.
  Route route_between(int from_vertex, int to_vertex, std::uint64_t flow = 0) const;
  LinkClass route_class_between(int from_vertex, int to_vertex) const;

  // Entries in the memory of routes; for tests of its size.
  std::size_t remembered_pairs() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken
