// What of a suite is wanted.
#pragma once

#include <array>
#include <set>
#include <string>
#include <string_view>

namespace foretoken::calibrate {

// Kinds of kernels that --only names.
inline constexpr std::array<std::string_view, 7> kSuiteParts{"memory", "gemm", "attention", "layer",
                                                             "codec",  "link", "host"};

struct SuiteOptions {
  bool quick = false;
  std::set<std::string> only;     // of kSuiteParts; empty: all
  std::set<std::string> formats;  // GEMM formats by their names in profiles; empty: the usual ones

  bool wants(const std::string& part) const { return only.empty() || only.contains(part); }
};

}  // namespace foretoken::calibrate
