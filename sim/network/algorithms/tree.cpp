#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;

// A binary tree in which an inner node stands between its subtrees, as NCCL builds it: the parent
// of a node is found by clearing its lowest set bit and setting the next one, or by clearing alone
// where that would leave the tree. Node 0 is the root; odd nodes are leaves.
int parent_of(int node, int ranks) {
  if (node == 0) {
    return -1;
  }
  const int lowest = node & -node;
  const int up = (node ^ lowest) | (lowest << 1);
  return up < ranks ? up : node ^ lowest;
}

// Two trees, so that a rank that is inside one is a leaf of the other and both directions of all
// links are busy (Sanders, Speck, Traeff 2009). Returns parents by rank.
std::vector<int> parents(int ranks, bool second) {
  std::vector<int> result(ranks);
  for (int r = 0; r < ranks; ++r) {
    // Even: mirrored. Odd: shifted by one.
    const auto map = [&](int x) {
      if (!second) {
        return x;
      }
      return ranks % 2 == 0 ? ranks - 1 - x : (x + 1) % ranks;
    };
    const auto unmap = [&](int x) {
      if (!second) {
        return x;
      }
      return ranks % 2 == 0 ? ranks - 1 - x : (x + ranks - 1) % ranks;
    };
    const int up = parent_of(unmap(r), ranks);
    result[r] = up < 0 ? -1 : map(up);
  }
  return result;
}

// Children before parents.
std::vector<int> bottom_up(const std::vector<int>& parent) {
  std::vector<int> depth(parent.size(), 0);
  int deepest = 0;
  for (std::size_t r = 0; r < parent.size(); ++r) {
    for (int up = parent[r]; up >= 0; up = parent[up]) {
      ++depth[r];
    }
    deepest = std::max(deepest, depth[r]);
  }
  std::vector<int> order;
  for (int level = deepest; level >= 0; --level) {
    for (std::size_t r = 0; r < parent.size(); ++r) {
      if (depth[r] == level) {
        order.push_back(static_cast<int>(r));
      }
    }
  }
  return order;
}

std::string refusal(const Topology&, const CollectiveRequest& request) {
  return request.kind == CollectiveKind::all_reduce ? "" : "a tree does all_reduce";
}

void one_tree(ScheduleBuilder& builder, const std::vector<int>& parent) {
  const std::int64_t half = builder.slice(2);
  const Format& up_wire = builder.wire();
  const Format& down_wire = builder.second_wire();
  const std::vector<int> order = bottom_up(parent);
  std::vector<Waits> received(parent.size());
  for (const int r : order) {
    // Dequantise what came from below, add the own part, quantise.
    builder.code(r, CodecPhase::reduce, half, up_wire, received[r]);
    if (parent[r] >= 0) {
      const TaskId sent = builder.send(r, parent[r], half, up_wire, received[r]);
      received[parent[r]].push_back(sent);
    }
  }
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const int r = *it;
    for (std::size_t child = 0; child < parent.size(); ++child) {
      if (parent[child] == r) {
        received[child].assign(
            1, builder.send(r, static_cast<int>(child), half, down_wire, received[r]));
      }
    }
  }
  for (const int r : order) {
    builder.code(r, CodecPhase::dequantise, half, down_wire, received[r]);
  }
}

void build(ScheduleBuilder& builder) {
  one_tree(builder, parents(builder.ranks(), false));
  one_tree(builder, parents(builder.ranks(), true));
}

}  // namespace

const CollectiveAlgorithm kTree{
    Algorithm::tree,
    "tree",
    "all_reduce: two binary trees of half the vector, about 2 log2 N steps, about 2 M bytes a rank",
    refusal,
    build,
    true,
    true};

}  // namespace foretoken
