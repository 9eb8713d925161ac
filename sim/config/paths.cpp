#include "sim/config/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "sim/core/quantity.h"

namespace foretoken::config {
namespace fs = std::filesystem;
namespace {

fs::path root_above(fs::path folder) {
  std::error_code error;
  while (!folder.empty()) {
    if (fs::is_directory(folder / "topologies", error) &&
        fs::is_directory(folder / "scenarios", error)) {
      return folder;
    }
    if (folder == folder.parent_path()) {
      break;
    }
    folder = folder.parent_path();
  }
  return {};
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

fs::path data_root() {
  if (const char* stated = std::getenv("FORETOKEN_DATA")) {
    return stated;
  }
  std::error_code error;
  for (const fs::path& start : {fs::read_symlink("/proc/self/exe", error).parent_path(),
                                fs::current_path(error), fs::path(FORETOKEN_SOURCE_DIR)}) {
    if (fs::path root = root_above(start); !root.empty()) {
      return root;
    }
  }
  return {};
}

fs::path find_file(const std::string& name, const fs::path& base, const std::string& folder) {
  if (name.empty()) {
    return {};
  }
  for (const fs::path& candidate : {base / name, fs::path(name)}) {
    if (is_file(candidate)) {
      return candidate.lexically_normal();
    }
  }
  const fs::path root = data_root();
  if (!root.empty()) {
    for (const fs::path& candidate : {root / folder / (name + ".yaml"), root / name}) {
      if (is_file(candidate)) {
        std::error_code error;
        const fs::path relative = fs::relative(candidate, fs::current_path(error), error);
        // A short path reads better in messages than an absolute one.
        return !error && !relative.empty() && *relative.begin() != ".." ? relative : candidate;
      }
    }
  }
  return {};
}

std::vector<std::string> shipped_names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data_root() / folder, error)) {
    if (entry.path().extension() == ".yaml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string not_found(const std::string& name, const std::string& folder) {
  const auto shipped = shipped_names(folder);
  const std::string_view near = nearest(name, shipped);
  // `foretoken list` calls the kinds as their folders are called.
  return fmt::format("\"{}\" is neither a file nor a shipped name ({}see `foretoken list {}`)",
                     name, near.empty() ? "" : fmt::format("did you mean \"{}\"? ", near),
                     fs::path(folder).filename().string());
}

}  // namespace foretoken::config
