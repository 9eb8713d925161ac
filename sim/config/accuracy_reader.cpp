#include "sim/config/accuracy_reader.h"

#include "sim/config/reader.h"

namespace foretoken::config {
namespace {

std::optional<Format> optional_format(MapReader& map, std::string_view key, FormatRole role) {
  const Node* node = map.find(key);
  return node ? std::optional(read_format(*node, map.path(key), role)) : std::nullopt;
}

PublishedAccuracy read_row(const Node& node) {
  MapReader map(node, "rows");
  PublishedAccuracy row;
  row.model = map.string("model");
  row.family = map.string("family");
  row.method = map.string("method");
  row.weights = optional_format(map, "weights", FormatRole::weights);
  row.activations = optional_format(map, "activations", FormatRole::activations);
  row.all_reduce = optional_format(map, "all_reduce", FormatRole::wire);
  row.benchmark = map.string("benchmark");
  row.baseline = map.optional_quantity("baseline", Unit::number, kPositive);
  row.score = map.optional_quantity("score", Unit::number);
  const auto recovery = map.optional_quantity("recovery", Unit::fraction, {0, 10, false});
  row.source = map.string("source");
  map.finish();
  if (!row.weights && !row.activations && !row.all_reduce) {
    throw InputError(map.mark(), "rows",
                     "narrows nothing; state weights, activations or all_reduce");
  }
  if (recovery.has_value() == (row.baseline && row.score)) {
    throw InputError(map.mark(), "rows", "state either recovery, or baseline and score");
  }
  row.recovery = recovery ? *recovery : *row.score / *row.baseline;
  return row;
}

}  // namespace

std::vector<PublishedAccuracy> read_accuracy(const std::string& path) {
  const auto root = read_document(path);
  MapReader map(*root, "");
  read_schema(map, 1);
  const Node& list = map.require("rows");
  map.finish();
  if (list.kind != Node::Kind::sequence) {
    fail(list, "rows", "expected a list of rows");
  }
  std::vector<PublishedAccuracy> rows;
  rows.reserve(list.items.size());
  for (const auto& item : list.items) {
    rows.push_back(read_row(*item));
  }
  return rows;
}

}  // namespace foretoken::config
