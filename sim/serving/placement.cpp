#include "sim/serving/placement.h"

#include <algorithm>
#include <map>
#include <set>

#include "sim/core/error.h"

namespace foretoken {
namespace {

using Groups = std::vector<std::vector<int>>;  // tensor groups, pipeline stage innermost

Groups ordered_groups(const ParallelSpec& parallel, const PlacementSpec& placement) {
  // The stride of each dimension: dimensions earlier in `order` vary faster.
  const std::map<std::string, int> degree{{"tensor", parallel.tensor},
                                          {"expert", 1},  // lies inside tensor x data
                                          {"pipeline", parallel.pipeline},
                                          {"data", parallel.data}};
  std::map<std::string, int> stride;
  int size = 1;
  for (const std::string& dimension : placement.order) {
    stride[dimension] = size;
    size *= degree.at(dimension);
  }
  Groups groups;
  for (int data = 0; data < parallel.data; ++data) {
    for (int stage = 0; stage < parallel.pipeline; ++stage) {
      auto& group = groups.emplace_back();
      for (int rank = 0; rank < parallel.tensor; ++rank) {
        group.push_back(data * stride["data"] + stage * stride["pipeline"] +
                        rank * stride["tensor"]);
      }
    }
  }
  return groups;
}

void check_groups(const ParallelSpec& parallel, const PlacementSpec& placement,
                  const Topology& topology) {
  const auto wanted =
      static_cast<std::size_t>(parallel.pipeline) * static_cast<std::size_t>(parallel.data);
  if (placement.groups.size() != wanted) {
    throw InputError(
        placement.mark, "placement.groups",
        fmt::format("{} groups stated, pipeline {} x data {} needs {}", placement.groups.size(),
                    parallel.pipeline, parallel.data, wanted));
  }
  std::set<int> seen;
  for (const auto& group : placement.groups) {
    if (static_cast<int>(group.size()) != parallel.tensor) {
      throw InputError(
          placement.mark, "placement.groups",
          fmt::format("a group has {} GPUs, parallel.tensor is {}", group.size(), parallel.tensor));
    }
    for (const int gpu : group) {
      if (gpu >= topology.gpu_count()) {
        throw InputError(placement.mark, "placement.groups",
                         fmt::format("there is no GPU {} in {} (0 to {})", gpu,
                                     topology.spec().name, topology.gpu_count() - 1));
      }
      if (!seen.insert(gpu).second) {
        throw InputError(placement.mark, "placement.groups",
                         fmt::format("GPU {} stands in two groups", gpu));
      }
    }
  }
}

}  // namespace

std::vector<ReplicaPlacement> place(const ParallelSpec& parallel, const PlacementSpec& placement,
                                    const Topology& topology) {
  const std::int64_t wanted = std::int64_t{1} * parallel.tensor * parallel.pipeline * parallel.data;
  if (wanted > topology.gpu_count()) {
    throw InputError(parallel.mark, "parallel",
                     fmt::format("tensor {} x pipeline {} x data {} = {} GPUs, {} has {}; lower a "
                                 "degree or choose a larger cluster",
                                 parallel.tensor, parallel.pipeline, parallel.data, wanted,
                                 topology.spec().name, topology.gpu_count()));
  }
  if (!placement.groups.empty()) {
    check_groups(parallel, placement, topology);
  }
  const Groups groups =
      placement.groups.empty() ? ordered_groups(parallel, placement) : placement.groups;
  std::vector<ReplicaPlacement> replicas(static_cast<std::size_t>(parallel.data));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    auto& stages = replicas[i / static_cast<std::size_t>(parallel.pipeline)].stages;
    if (!stages.empty()) {
      stages.back().next_gpus = groups[i];
    }
    stages.push_back({groups[i], {}});
  }
  return replicas;
}

namespace {

// Calls `visit` with every ordered pair of GPUs between which the replica sends.
template <class Visit>
void for_each_pair(const ReplicaPlacement& replica, Visit visit) {
  for (const StagePlacement& stage : replica.stages) {
    for (const int from : stage.gpus) {
      for (const int to : stage.gpus) {
        if (from != to) {
          visit(from, to);
        }
      }
    }
    for (std::size_t i = 0; i < stage.next_gpus.size(); ++i) {
      visit(stage.gpus[i], stage.next_gpus[i]);
    }
  }
}

}  // namespace

bool replicas_share_links(const std::vector<ReplicaPlacement>& replicas, const Topology& topology) {
  std::vector<int> owner(topology.link_count(), -1);
  bool shared = false;
  for (std::size_t r = 0; r < replicas.size(); ++r) {
    const auto replica = static_cast<int>(r);
    for_each_pair(replicas[r], [&](int from, int to) {
      for (const LinkId link : topology.route(from, to).links) {
        shared |= owner[link] >= 0 && owner[link] != replica;
        owner[link] = replica;
      }
    });
  }
  return shared;
}

std::vector<double> link_signature(const ReplicaPlacement& replica, const Topology& topology) {
  std::vector<double> signature;
  for_each_pair(replica, [&](int from, int to) {
    for (const LinkId id : topology.route(from, to).links) {
      const LinkSpec& link = topology.link(id);
      signature.insert(signature.end(), {link.bandwidth.bytes_per_second, to_seconds(link.latency),
                                         static_cast<double>(link.link_class)});
    }
    signature.push_back(-1);
  });
  return signature;
}

}  // namespace foretoken
