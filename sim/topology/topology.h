// The device graph and its routes. The only user of Boost.Graph (in the .cpp).
//
// GPUs and host memory never forward traffic; a NIC forwards only between its PCIe side and its
// network side. Routes minimise (worst link class, then latency, then hops); equal ones are chosen
// by hash (ECMP). They are computed on demand and remembered; safe to call from several threads.
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
  // Throws InputError (with the mark of the offending line): duplicate ids, no GPU, a link of zero
  // bandwidth, a link to itself.
  explicit Topology(ClusterSpec spec);
  ~Topology();
  Topology(Topology&&) noexcept;
  Topology& operator=(Topology&&) noexcept;

  const ClusterSpec& spec() const;
  int gpu_count() const;
  int vertex_of_gpu(int gpu) const;
  const LinkSpec& link(LinkId id) const;
  int link_count() const;

  // Between GPUs, by GPU index. Throws InputError naming both when there is no path.
  // `flow` picks among equal routes.
  const Route& route(int from_gpu, int to_gpu, std::uint64_t flow = 0) const;
  // The weakest link class on the way.
  LinkClass route_class(int from_gpu, int to_gpu) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken
