// Strict reading of a Node: each field is required, defaulted or optional in one line, unknown keys
// are errors that name the nearest known key, and every message carries file:line:column and the
// key path.
//
//   MapReader map(node, "engine");
//   engine.max_num_seqs = map.integer("max_num_seqs", 256, {1, 65536});
//   engine.host_step = map.optional_quantity("host_step", Unit::time);
//   map.finish();
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/document.h"
#include "sim/core/quantity.h"
#include "sim/spec/format.h"

namespace foretoken::config {

struct IntRange {
  std::int64_t low = 0;
  std::int64_t high = std::numeric_limits<std::int64_t>::max();
};
// Open or closed at the lower end: most physical quantities must be positive.
struct RealRange {
  double low = 0;
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
};
inline constexpr RealRange kPositive{0, std::numeric_limits<double>::infinity(), true};
inline constexpr RealRange kNotNegative{};
inline constexpr RealRange kUnitInterval{0, 1, false};

[[noreturn]] void fail(const Node& node, const std::string& path, const std::string& message);

// Scalars of any node; `path` is the dotted key path for messages.
std::string read_string(const Node& node, const std::string& path);
bool read_bool(const Node& node, const std::string& path);
std::int64_t read_integer(const Node& node, const std::string& path, IntRange range = {});
double read_quantity(const Node& node, const std::string& path, Unit unit,
                     RealRange range = kNotNegative);
std::string read_choice(const Node& node, const std::string& path,
                        std::span<const std::string_view> choices);
Format read_format(const Node& node, const std::string& path, FormatRole role);

class MapReader {
 public:
  // Throws unless `node` is a map (null counts as an empty one).
  MapReader(const Node& node, std::string path);

  const Node* find(std::string_view key);        // marks the key as known
  const Node& require(std::string_view key);     // throws when absent
  std::string path(std::string_view key) const;  // "engine.max_num_seqs"
  const Node& node() const { return *node_; }
  SourceMark mark() const { return node_->mark; }

  std::string string(std::string_view key);
  std::string string(std::string_view key, std::string fallback);
  bool boolean(std::string_view key, bool fallback);
  std::int64_t integer(std::string_view key, IntRange range = {});
  std::int64_t integer(std::string_view key, std::int64_t fallback, IntRange range = {});
  std::optional<std::int64_t> optional_integer(std::string_view key, IntRange range = {});
  double quantity(std::string_view key, Unit unit, RealRange range = kNotNegative);
  double quantity(std::string_view key, double fallback, Unit unit, RealRange range = kNotNegative);
  std::optional<double> optional_quantity(std::string_view key, Unit unit,
                                          RealRange range = kNotNegative);
  std::string choice(std::string_view key, std::string fallback,
                     std::span<const std::string_view> choices);

  // The keys in file order; for maps whose keys are data, such as module patterns.
  const std::vector<Node::Entry>& entries() const { return node_->entries; }
  void accept_all() { open_ = true; }  // keys are data: finish() accepts any

  // Throws on the first key nobody asked for, naming the nearest key somebody did.
  void finish() const;

 private:
  const Node* node_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
  bool open_ = false;
};

// Checks `schema: 1` at the top of a file.
void read_schema(MapReader& map, int supported);

}  // namespace foretoken::config
