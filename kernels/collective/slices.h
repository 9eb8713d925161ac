// How a vector is cut: into micro-chunks, and those into one slice a rank. Every cut stands at a
// whole group of the formats involved; the last slices of a small vector may be empty.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/codec/wire_format.h"

namespace foretoken::kernels {

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const { return end - begin; }
};

// Values that must stay together: the larger group of the two formats, at least one value.
inline std::size_t slice_unit(const WireFormat& a, const WireFormat& b) {
  return static_cast<std::size_t>(std::max({a.group, b.group, 1}));
}

// Part `index` of `parts` of `whole`, in units counted from its beginning, as even as units allow:
// all parts have the size of the first, but for the last non-empty one.
inline Range part_of(Range whole, std::size_t parts, std::size_t index, std::size_t unit) {
  if (parts == 1 && index == 0) {  // the divisions take longer than a short message's arithmetic
    return whole;
  }
  const std::size_t units = (whole.size() + unit - 1) / unit;
  const std::size_t each = (units + parts - 1) / parts * unit;
  return {std::min(whole.begin + index * each, whole.end),
          std::min(whole.begin + (index + 1) * each, whole.end)};
}

}  // namespace foretoken::kernels
