#include "sim/config/reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace foretoken::config {
namespace {

std::string_view describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::scalar:
      return "a single value";
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::map:
      return "a map";
  }
  return "";
}

const std::string& scalar(const Node& node, const std::string& path, std::string_view wanted) {
  if (node.kind != Node::Kind::scalar) {
    fail(node, path, fmt::format("expected {}, found {}", wanted, describe(node)));
  }
  return node.scalar;
}

}  // namespace

void fail(const Node& node, const std::string& path, const std::string& message) {
  throw InputError(node.mark, path, message);
}

std::string read_string(const Node& node, const std::string& path) {
  return scalar(node, path, "a text");
}

bool read_bool(const Node& node, const std::string& path) {
  const std::string& text = scalar(node, path, "true or false");
  if (text == "true" || text == "yes" || text == "on") {
    return true;
  }
  if (text == "false" || text == "no" || text == "off") {
    return false;
  }
  fail(node, path, fmt::format("\"{}\" is neither true nor false", text));
}

std::int64_t read_integer(const Node& node, const std::string& path, IntRange range) {
  const std::string& text = scalar(node, path, "a whole number");
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) {
    fail(node, path, fmt::format("\"{}\" is not a whole number", text));
  }
  if (value < range.low || value > range.high) {
    if (range.high == std::numeric_limits<std::int64_t>::max()) {
      fail(node, path, fmt::format("{} is too small; at least {}", value, range.low));
    }
    fail(node, path, fmt::format("{} is out of range; {} to {}", value, range.low, range.high));
  }
  return value;
}

double read_quantity(const Node& node, const std::string& path, Unit unit, RealRange range) {
  const std::string& text = scalar(node, path, fmt::format("a value such as {}", example(unit)));
  const ParsedQuantity parsed = parse_quantity(text, unit);
  if (!parsed.value) {
    fail(node, path, parsed.error);
  }
  const double value = *parsed.value;
  if (value < range.low || (range.low_open && value <= range.low)) {
    fail(node, path,
         fmt::format("{} must be {} {}", text, range.low_open ? "more than" : "at least",
                     range.low));
  }
  if (value > range.high) {
    fail(node, path, fmt::format("{} must be at most {}", text, range.high));
  }
  return value;
}

std::string read_choice(const Node& node, const std::string& path,
                        std::span<const std::string_view> choices) {
  const std::string& text = scalar(node, path, fmt::format("one of {}", fmt::join(choices, ", ")));
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) {
    return text;
  }
  const std::string_view near = nearest(text, choices);
  fail(node, path,
       near.empty() ? fmt::format("unknown \"{}\" (one of {})", text, fmt::join(choices, ", "))
                    : fmt::format("unknown \"{}\" (did you mean \"{}\"? one of {})", text, near,
                                  fmt::join(choices, ", ")));
}

Format read_format(const Node& node, const std::string& path, FormatRole role) {
  const std::string text = read_string(node, path);
  try {
    return parse_format(text, role);
  } catch (const InputError& error) {
    throw InputError(node.mark, path, error.what());
  }
}

MapReader::MapReader(const Node& node, std::string path) : node_(&node), path_(std::move(path)) {
  if (node.kind != Node::Kind::map && node.kind != Node::Kind::null) {
    fail(node, path_, fmt::format("expected a map of keys, found {}", describe(node)));
  }
}

std::string MapReader::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const Node* MapReader::find(std::string_view key) {
  known_.emplace(key);
  const Node* node = node_->find(key);
  return node != nullptr && node->kind == Node::Kind::null ? nullptr : node;
}

const Node& MapReader::require(std::string_view key) {
  if (const Node* node = find(key)) {
    return *node;
  }
  // A key that is nearly this one is more likely a slip than a stranger.
  for (const Node::Entry& entry : node_->entries) {
    if (!known_.contains(entry.key) && edit_distance(entry.key, key) <= 2) {
      throw InputError(entry.mark, path(entry.key),
                       fmt::format("unknown key (did you mean \"{}\"?)", key));
    }
  }
  fail(*node_, path(key), "this key is required; add it");
}

std::string MapReader::string(std::string_view key) { return read_string(require(key), path(key)); }

std::string MapReader::string(std::string_view key, std::string fallback) {
  const Node* node = find(key);
  return node ? read_string(*node, path(key)) : std::move(fallback);
}

bool MapReader::boolean(std::string_view key, bool fallback) {
  const Node* node = find(key);
  return node ? read_bool(*node, path(key)) : fallback;
}

std::int64_t MapReader::integer(std::string_view key, IntRange range) {
  return read_integer(require(key), path(key), range);
}

std::int64_t MapReader::integer(std::string_view key, std::int64_t fallback, IntRange range) {
  return optional_integer(key, range).value_or(fallback);
}

std::optional<std::int64_t> MapReader::optional_integer(std::string_view key, IntRange range) {
  const Node* node = find(key);
  return node ? std::optional(read_integer(*node, path(key), range)) : std::nullopt;
}

double MapReader::quantity(std::string_view key, Unit unit, RealRange range) {
  return read_quantity(require(key), path(key), unit, range);
}

double MapReader::quantity(std::string_view key, double fallback, Unit unit, RealRange range) {
  return optional_quantity(key, unit, range).value_or(fallback);
}

std::optional<double> MapReader::optional_quantity(std::string_view key, Unit unit,
                                                   RealRange range) {
  const Node* node = find(key);
  return node ? std::optional(read_quantity(*node, path(key), unit, range)) : std::nullopt;
}

std::string MapReader::choice(std::string_view key, std::string fallback,
                              std::span<const std::string_view> choices) {
  const Node* node = find(key);
  return node ? read_choice(*node, path(key), choices) : std::move(fallback);
}

void MapReader::finish() const {
  if (open_) {
    return;
  }
  for (const Node::Entry& entry : node_->entries) {
    if (known_.contains(entry.key)) {
      continue;
    }
    const std::string_view near = nearest(entry.key, known_);
    throw InputError(entry.mark, path(entry.key),
                     near.empty()
                         ? fmt::format("unknown key (known here: {})", fmt::join(known_, ", "))
                         : fmt::format("unknown key (did you mean \"{}\"?)", near));
  }
}

void read_schema(MapReader& map, int supported) {
  const std::int64_t schema = map.integer("schema");
  if (schema != supported) {
    fail(map.require("schema"), map.path("schema"),
         fmt::format("schema {} is not supported; this program reads schema {}: {}", schema,
                     supported,
                     schema > supported ? "use the newer program that wrote the file"
                                        : "write the file anew"));
  }
}

}  // namespace foretoken::config
