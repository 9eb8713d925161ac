// Finds shipped files by name: `cluster: hgx-h100-8` is topologies/hgx-h100-8.yaml.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace foretoken::config {

// The project's data: $FORETOKEN_DATA, or the nearest folder above the program, the current folder
// or the source tree it was built from that holds topologies/ and scenarios/. Empty when there is
// none.
std::filesystem::path data_root();

// A path as written (relative to `base`, then to the current folder), or a shipped name: data root
// / folder / NAME.yaml. Returns an empty path when nothing is found.
std::filesystem::path find_file(const std::string& name, const std::filesystem::path& base,
                                const std::string& folder);

// Names of the shipped files of a folder, sorted, without ".yaml".
std::vector<std::string> shipped_names(const std::string& folder);

// What to say of a name that find_file does not find: "\"hgx-h100\" is neither a file nor a shipped
// name (did you mean \"hgx-h100-8\"? see `foretoken list topologies`)".
std::string not_found(const std::string& name, const std::string& folder);

}  // namespace foretoken::config
