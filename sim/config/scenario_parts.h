// Parts of a scenario that more than one of its blocks states.
#pragma once

#include <string>
#include <vector>

#include "sim/config/document.h"

namespace foretoken::config {

// The file a value names: relative to the scenario, or a shipped name of `folder`. Throws
// InputError saying where it was looked for.
std::string resolve(const Node& node, const std::string& path, const std::string& file,
                    const std::string& folder);
// Of one name or a list of names.
std::vector<std::string> resolve_all(const Node& node, const std::string& path,
                                     const std::string& file, const std::string& folder);

// [tensor, expert, pipeline, data] in any order.
std::vector<std::string> read_order(const Node& node, const std::string& path);

}  // namespace foretoken::config
