// A YAML document as a plain tree with source marks. Built from yaml-cpp's events, because its own
// node tree accepts duplicate keys silently and follows aliases without a bound. Refused here:
// duplicate keys, an alias inside its own anchor, expansion beyond kMaxNodes, nesting beyond
// kMaxDepth, merge keys and more than one document.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/core/error.h"

namespace foretoken::config {

inline constexpr std::size_t kMaxNodes = 200'000;  // after expansion of aliases
inline constexpr int kMaxDepth = 64;

struct Node {
  enum class Kind { null, scalar, sequence, map } kind = Kind::null;
  std::string scalar;
  bool quoted = false;
  std::vector<std::shared_ptr<const Node>> items;  // sequence
  struct Entry {
    std::string key;
    SourceMark mark;
    std::shared_ptr<const Node> value;
  };
  std::vector<Entry> entries;  // map, in the order of the file
  SourceMark mark;
  std::size_t expanded = 1;  // nodes below and including this one

  const Node* find(std::string_view key) const;
};

// Throws InputError. `file` is only used in marks.
std::shared_ptr<const Node> parse_document(const std::string& text, const std::string& file);
// Throws InputError naming the path when it cannot be read.
std::string read_text_file(const std::string& path);
std::shared_ptr<const Node> read_document(const std::string& path);

// `key=value` with a dotted key: returns a copy of the tree in which that value stands in place of
// what was there. The value is parsed as YAML, so `--set workload.arrivals={poisson: 9/s}` works.
// Maps on the way are made when absent. `option` is named in messages.
std::shared_ptr<const Node> with_override(const std::shared_ptr<const Node>& root,
                                          const std::string& assignment,
                                          const std::string& option = "--set");

// Canonical text: what the scenario's hash is taken of. Does not depend on layout or comments.
std::string canonical_text(const Node& node);

}  // namespace foretoken::config
