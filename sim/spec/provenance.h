// Where a number comes from. Ordered from strongest to weakest: what is computed from several
// numbers is as strong as the weakest of them.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace foretoken {

enum class Provenance {
  measured,   // by this project's kernels, on the hardware the profile names
  imported,   // measured by somebody else, read from their table
  published,  // a single published figure
  derived,    // from a datasheet
  assumed     // nobody measured it
};

inline constexpr std::size_t kProvenanceCount = 5;
inline constexpr std::array<std::string_view, kProvenanceCount> kProvenanceNames{
    "measured", "imported", "published", "derived", "assumed"};

constexpr std::string_view name(Provenance p) {
  return kProvenanceNames[static_cast<std::size_t>(p)];
}

constexpr std::optional<Provenance> parse_provenance(std::string_view text) {
  for (std::size_t i = 0; i < kProvenanceCount; ++i) {
    if (kProvenanceNames[i] == text) {
      return static_cast<Provenance>(i);
    }
  }
  return std::nullopt;
}

constexpr Provenance weakest(Provenance a, Provenance b) { return std::max(a, b); }

}  // namespace foretoken
