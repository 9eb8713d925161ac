#include "sim/config/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "sim/core/error.h"

namespace foretoken::config {

void write_output(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return;
  }
  const auto refuse = [&]() -> void {
    throw InputError(
        SourceMark{path, 0, 0}, "",
        "cannot write this file; check that the folder exists, is writable and not full");
  };
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
    // A device or pipe cannot be replaced by renaming.
    std::ofstream direct(path, std::ios::binary);
    direct << text << std::flush;
    if (!direct) {
      refuse();
    }
    return;
  }
  const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  {
    std::ofstream stream(temporary, std::ios::binary);
    stream << text << std::flush;
    if (!stream) {
      std::filesystem::remove(temporary, error);
      refuse();
    }
  }
  std::filesystem::rename(temporary, path, error);
  if (error) {
    std::filesystem::remove(temporary, error);
    refuse();
  }
}

}  // namespace foretoken::config
