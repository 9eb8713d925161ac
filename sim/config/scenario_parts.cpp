#include "sim/config/scenario_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "sim/config/paths.h"
#include "sim/config/reader.h"

namespace foretoken::config {

std::string resolve(const Node& node, const std::string& path, const std::string& file,
                    const std::string& folder) {
  if (node.kind == Node::Kind::map) {
    fail(node, path,
         fmt::format("found a map; put it into a file and name that here, or a shipped name of {}",
                     folder));
  }
  const std::string name = read_string(node, path);
  const auto found = find_file(name, std::filesystem::path(file).parent_path(), folder);
  if (!found.empty()) {
    return found.string();
  }
  fail(node, path, not_found(name, folder));
}

std::vector<std::string> resolve_all(const Node& node, const std::string& path,
                                     const std::string& file, const std::string& folder) {
  if (node.kind != Node::Kind::sequence) {
    return {resolve(node, path, file, folder)};
  }
  std::vector<std::string> files;
  for (const auto& item : node.items) {
    files.push_back(resolve(*item, path, file, folder));
  }
  return files;
}

std::vector<std::string> read_order(const Node& node, const std::string& path) {
  constexpr std::array<std::string_view, 4> dimensions{"tensor", "expert", "pipeline", "data"};
  if (node.kind != Node::Kind::sequence) {
    fail(node, path, "expected a list such as [tensor, expert, pipeline, data]");
  }
  std::vector<std::string> order;
  for (const auto& item : node.items) {
    const std::string dimension = read_choice(*item, path, dimensions);
    if (std::find(order.begin(), order.end(), dimension) != order.end()) {
      fail(*item, path, fmt::format("\"{}\" stands twice", dimension));
    }
    order.push_back(dimension);
  }
  for (const std::string_view dimension : dimensions) {
    if (std::find(order.begin(), order.end(), dimension) == order.end()) {
      fail(node, path, fmt::format("\"{}\" is missing; list all four", dimension));
    }
  }
  return order;
}

}  // namespace foretoken::config
