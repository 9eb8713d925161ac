#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;
using Groups = std::vector<std::vector<int>>;

std::string refusal(const Topology& topology, const CollectiveRequest& request) {
  if (request.kind != CollectiveKind::all_reduce && request.kind != CollectiveKind::all_to_all) {
    return "hierarchical does all_reduce and all_to_all";
  }
  const Groups groups = locality_groups(topology, request.gpus);
  if (groups.size() < 2) {
    return "all routes in this group are of one class: there is no hierarchy";
  }
  for (const std::vector<int>& group : groups) {
    if (group.size() != groups.front().size() || group.size() < 2) {
      return "the GPUs do not fall into equal groups of at least two";
    }
  }
  return "";
}

// FlashCommunication V2 (arXiv 2508.03760): reduce-scatter inside each group, all-reduce across
// between the ranks of equal index, all-gather inside. Across, two groups exchange their slice in
// one shot; more groups take two steps.
class HierarchicalAllReduce {
 public:
  explicit HierarchicalAllReduce(ScheduleBuilder& builder)
      : builder_(&builder),
        groups_(locality_groups(builder.topology(), builder.request().gpus)),
        count_(static_cast<int>(groups_.size())),
        size_(static_cast<int>(groups_.front().size())),
        // A slice of a slice must be whole groups of values too when it is cut again.
        piece_(builder.slice(count_ == 2 ? size_ : size_ * count_)),
        slice_(count_ == 2 ? piece_ : piece_ * count_),
        waits_(builder.ranks()) {}

  void build() {
    scatter_inside();
    if (count_ == 2) {
      exchange_across();
    } else {
      two_step_across();
    }
    gather_inside();
  }

 private:
  void scatter_inside();
  void exchange_across();
  void two_step_across();
  void gather_inside();
  int rank(int group, int index) const { return groups_[group][index]; }

  ScheduleBuilder* builder_;
  Groups groups_;
  int count_;           // groups
  int size_;            // ranks in each
  std::int64_t piece_;  // values
  std::int64_t slice_;
  std::vector<Waits> waits_;  // by rank
};

void HierarchicalAllReduce::scatter_inside() {
  const Format& wire = builder_->wire();
  std::vector<Waits> received(builder_->ranks());
  for (const std::vector<int>& group : groups_) {
    for (int i = 0; i < size_; ++i) {
      Waits ready;
      builder_->code(group[i], CodecPhase::quantise, slice_ * size_, wire, ready);
      for (int k = 1; k < size_; ++k) {
        const int to = group[(i + k) % size_];
        received[to].push_back(builder_->send(group[i], to, slice_, wire, ready));
      }
    }
  }
  for (int r = 0; r < builder_->ranks(); ++r) {
    builder_->code(r, CodecPhase::reduce, slice_ * (size_ + 1), wire, received[r]);
  }
  waits_ = std::move(received);
}

void HierarchicalAllReduce::exchange_across() {
  const Format& wire = builder_->wire();
  std::vector<Waits> received(builder_->ranks());
  for (int i = 0; i < size_; ++i) {
    const int a = rank(0, i);
    const int b = rank(1, i);
    received[b].push_back(builder_->send(a, b, slice_, wire, waits_[a]));
    received[a].push_back(builder_->send(b, a, slice_, wire, waits_[b]));
  }
  for (int r = 0; r < builder_->ranks(); ++r) {
    // Reads the own and the peer's slice, sums, quantises.
    builder_->code(r, CodecPhase::reduce, slice_ * 3, wire, received[r]);
  }
  waits_ = std::move(received);
}

void HierarchicalAllReduce::two_step_across() {
  const Format& wire = builder_->wire();
  std::vector<Waits> received(builder_->ranks());
  std::vector<Waits> gathered(builder_->ranks());
  const auto to_peers = [&](const std::vector<Waits>& after, std::vector<Waits>& arrivals) {
    for (int g = 0; g < count_; ++g) {
      for (int i = 0; i < size_; ++i) {
        const int from = rank(g, i);
        for (int k = 1; k < count_; ++k) {
          const int to = rank((g + k) % count_, i);
          arrivals[to].push_back(builder_->send(from, to, piece_, wire, after[from]));
        }
      }
    }
  };
  to_peers(waits_, received);
  for (int r = 0; r < builder_->ranks(); ++r) {
    builder_->code(r, CodecPhase::reduce, piece_ * (count_ + 1), wire, received[r]);
  }
  to_peers(received, gathered);
  waits_ = std::move(gathered);
}

void HierarchicalAllReduce::gather_inside() {
  const Format& wire = builder_->second_wire();
  std::vector<Waits> received = waits_;
  for (const std::vector<int>& group : groups_) {
    for (int i = 0; i < size_; ++i) {
      for (int k = 1; k < size_; ++k) {
        const int to = group[(i + k) % size_];
        received[to].push_back(builder_->send(group[i], to, slice_, wire, waits_[group[i]]));
      }
    }
  }
  for (int r = 0; r < builder_->ranks(); ++r) {
    builder_->code(r, CodecPhase::dequantise, slice_ * size_, wire, received[r]);
  }
}

// Rank i of a group first hands everything meant for another group to that group's rank i, in one
// message; that one passes it on inside its group, quantised as it came.
void all_to_all(ScheduleBuilder& builder) {
  const Groups groups = locality_groups(builder.topology(), builder.request().gpus);
  const int count = static_cast<int>(groups.size());
  const int size = static_cast<int>(groups.front().size());
  const int ranks = builder.ranks();
  const Format& wire = builder.wire();
  const std::vector<std::int64_t>& pairs = builder.request().pair_values;
  const std::int64_t even = builder.slice(ranks);
  const auto values = [&](int from, int to) {
    return pairs.empty() ? even : pairs[static_cast<std::size_t>(from) * ranks + to];
  };
  std::vector<Waits> ready(ranks);
  std::vector<Waits> received(ranks);
  std::vector<std::int64_t> total(ranks, 0);
  for (int r = 0; r < ranks; ++r) {
    std::int64_t out = 0;
    for (int to = 0; to < ranks; ++to) {
      out += values(r, to);
      total[to] += values(r, to);
    }
    builder.code(r, CodecPhase::quantise, out, wire, ready[r]);
  }
  for (int g = 0; g < count; ++g) {
    for (int i = 0; i < size; ++i) {
      const int from = groups[g][i];
      for (int k = 1; k < size; ++k) {
        const int to = groups[g][(i + k) % size];
        received[to].push_back(builder.send(from, to, values(from, to), wire, ready[from]));
      }
      for (int h = 1; h < count; ++h) {
        const std::vector<int>& other = groups[(g + h) % count];
        std::int64_t bundle = 0;
        for (const int to : other) {
          bundle += values(from, to);
        }
        const TaskId across = builder.send(from, other[i], bundle, wire, ready[from]);
        received[other[i]].push_back(across);
        for (int k = 1; k < size; ++k) {
          const int to = other[(i + k) % size];
          received[to].push_back(builder.send(other[i], to, values(from, to), wire, {across}));
        }
      }
    }
  }
  for (int r = 0; r < ranks; ++r) {
    builder.code(r, CodecPhase::dequantise, total[r], wire, received[r]);
  }
}

void build(ScheduleBuilder& builder) {
  if (builder.request().kind == CollectiveKind::all_to_all) {
    all_to_all(builder);
  } else {
    HierarchicalAllReduce(builder).build();
  }
}

}  // namespace

const CollectiveAlgorithm kHierarchical{
    Algorithm::hierarchical,
    "hierarchical",
    "all_reduce: inside groups of K, across between equals, inside; 2 M (K - 1) / K + M / K bytes "
    "a "
    "rank for two groups; all_to_all: one message per far group, passed on inside it",
    refusal,
    build,
    true,
    false};

}  // namespace foretoken
