// Where the parts of one block of a grouped format stand (byte layout: wire_format.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/base/force_inline.h"
#include "kernels/codec/wire_format.h"

namespace foretoken::kernels {

// A code of `bits` bits is cut into at most one plane of each width; `shift` is where a plane's
// bits stand in the code.
struct PlaneSplit {
  bool eight = false;
  bool four = false;
  bool two = false;
  bool one = false;
  int two_shift = 0;
  int one_shift = 0;
};

FT_INLINE constexpr PlaneSplit plane_split(int bits) {
  PlaneSplit s;
  s.eight = bits == 8;
  s.four = bits >= 4 && bits <= 7;
  s.two = bits == 2 || bits == 3 || bits == 6 || bits == 7;
  s.one = bits == 3 || bits == 5 || bits == 7;
  s.two_shift = s.four ? 4 : 0;
  s.one_shift = bits - 1;
  return s;
}

struct BlockLayout {
  std::size_t values = 0;  // a whole number of groups
  std::size_t groups = 0;
  std::size_t scales = 0;  // offsets in bytes from the start of the block
  std::size_t spikes = 0;
  std::size_t positions = 0;
  std::size_t bytes = 0;
};

inline BlockLayout block_layout(const WireFormat& format, std::size_t groups) {
  BlockLayout b;
  b.groups = groups;
  b.values = groups * static_cast<std::size_t>(format.group);
  b.scales = b.values * static_cast<std::size_t>(format.bits) / 8;
  b.spikes = b.scales + groups * scale_bytes(format);
  b.positions = b.spikes + (format.spike ? 4 * groups : 0);
  b.bytes = b.positions + (format.spike ? 2 * groups : 0);
  return b;
}

}  // namespace foretoken::kernels
