#include "sim/network/wire_size.h"

#include "sim/core/units.h"

namespace foretoken {

std::int64_t packed_bytes(std::int64_t values, const Format& format) {
  if (format.group == 0) {
    return ceil_div(values * format.bits, 8);
  }
  const std::int64_t groups = ceil_div(values, format.group);
  return groups * (ceil_div(std::int64_t{format.group} * format.bits, 8) + format.metadata_bytes());
}

}  // namespace foretoken
