#include "sim/config/plan_reader.h"

#include <algorithm>

#include "sim/config/reader.h"
#include "sim/config/scenario_parts.h"

namespace foretoken::config {
namespace {

constexpr IntRange kDegree{1, 1 << 20};

// The items of a list, read one by one; a value that stands twice is refused. Empty when the key is
// absent.
template <class Value, class Read>
std::vector<Value> read_list(MapReader& map, std::string_view key, Read read) {
  std::vector<Value> values;
  const Node* node = map.find(key);
  if (node == nullptr) {
    return values;
  }
  const std::string path = map.path(key);
  if (node->kind != Node::Kind::sequence || node->items.empty()) {
    fail(*node, path, "expected a list of choices with at least one item, such as [1, 2, 4]");
  }
  for (const auto& item : node->items) {
    Value value = read(*item, path);
    if (std::find(values.begin(), values.end(), value) != values.end()) {
      fail(*item, path, "this choice stands twice");
    }
    values.push_back(std::move(value));
  }
  return values;
}

std::vector<int> read_degrees(MapReader& map, std::string_view key) {
  return read_list<int>(map, key, [](const Node& node, const std::string& path) {
    return static_cast<int>(read_integer(node, path, kDegree));
  });
}

std::vector<Format> read_formats(MapReader& map, std::string_view key, FormatRole role) {
  return read_list<Format>(map, key, [&](const Node& node, const std::string& path) {
    return read_format(node, path, role);
  });
}

PlanCluster read_cluster_choice(const Node& node, const std::string& path,
                                const std::string& file) {
  PlanCluster choice;
  choice.mark = node.mark;
  if (node.kind != Node::Kind::map) {
    choice.cluster = resolve(node, path, file, "topologies");
    return choice;
  }
  MapReader map(node, path);
  choice.cluster = resolve(map.require("cluster"), map.path("cluster"), file, "topologies");
  if (const Node* profile = map.find("profile")) {
    choice.profiles = resolve_all(*profile, map.path("profile"), file, "calibrate/profiles");
  }
  choice.gpu_hour = map.optional_quantity("gpu_hour", Unit::money, kPositive);
  map.finish();
  return choice;
}

std::vector<PlanCluster> read_clusters(MapReader& map, const std::string& file) {
  std::vector<PlanCluster> clusters;
  const Node* node = map.find("clusters");
  if (node == nullptr) {
    return clusters;
  }
  if (node->kind != Node::Kind::sequence || node->items.empty()) {
    fail(*node, map.path("clusters"), "expected a list of clusters with at least one item");
  }
  for (const auto& item : node->items) {
    clusters.push_back(read_cluster_choice(*item, map.path("clusters"), file));
  }
  return clusters;
}

}  // namespace

PlanSpec read_plan(const Node& node, const std::string& file) {
  MapReader map(node, "plan");
  PlanSpec spec;
  spec.mark = map.mark();
  spec.clusters = read_clusters(map, file);
  spec.tensor = read_degrees(map, "tensor");
  spec.pipeline = read_degrees(map, "pipeline");
  spec.data = read_degrees(map, "data");
  spec.placement = read_list<std::vector<std::string>>(map, "placement", read_order);
  spec.weights = read_formats(map, "weights", FormatRole::weights);
  spec.activations = read_formats(map, "activations", FormatRole::activations);
  spec.kv_cache = read_formats(map, "kv_cache", FormatRole::kv_cache);
  spec.all_reduce = read_formats(map, "all_reduce", FormatRole::wire);
  spec.max_num_seqs = read_list<int>(map, "max_num_seqs", [](const Node& n, const std::string& p) {
    return static_cast<int>(read_integer(n, p, {1, 65536}));
  });
  spec.max_num_batched_tokens = read_list<std::int64_t>(map, "max_num_batched_tokens",
                                                        [](const Node& n, const std::string& p) {
                                                          return read_integer(n, p, {1, 1 << 24});
                                                        });
  spec.gpus = map.optional_integer("gpus", kDegree);
  spec.budget = map.optional_quantity("budget", Unit::money, kPositive);
  spec.resolution =
      map.quantity("resolution", spec.resolution, Unit::fraction, {0.005, 0.5, false});
  spec.shared_links = map.boolean("shared_links", false);
  map.finish();
  return spec;
}

}  // namespace foretoken::config
