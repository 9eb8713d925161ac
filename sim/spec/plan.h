// What `foretoken plan` searches: the `plan:` block of a scenario. An empty list leaves the
// scenario's own value as the only choice, except where another default is stated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/error.h"
#include "sim/spec/format.h"

namespace foretoken {

struct PlanCluster {
  std::string cluster;                // path, resolved
  std::vector<std::string> profiles;  // paths, resolved; empty: the scenario's or the cluster's own
  std::optional<double> gpu_hour;     // none: the scenario's
  SourceMark mark;
};

struct PlanSpec {
  std::vector<PlanCluster> clusters;
  // Default of tensor: powers of two up to the GPUs of a node; of data: every count that fits, at
  // most 16; of pipeline: 1.
  std::vector<int> tensor, pipeline, data;
  std::vector<std::vector<std::string>> placement;  // orders
  std::vector<Format> weights;                      // in place of the default format; rules stay
  std::vector<Format> activations, kv_cache, all_reduce;
  std::vector<int> max_num_seqs;
  std::vector<std::int64_t> max_num_batched_tokens;
  std::optional<std::int64_t> gpus;  // at most
  std::optional<double> budget;      // money per hour, at most
  // Rates are tried on a ladder of this relative step, and latencies that differ by less than this
  // share of the target count as equal.
  double resolution = 0.05;
  // Placements in which replicas share links run event by event, a hundred times slower: left out
  // unless asked for.
  bool shared_links = false;
  SourceMark mark;
};

}  // namespace foretoken
