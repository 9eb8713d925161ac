#include "sim/cost/wire.h"

#include <algorithm>

#include "sim/core/error.h"

namespace foretoken {

double Wire::seconds(double bytes, int steps) const {
  const double paced = bandwidth > 0 ? (bytes - bucket) / bandwidth : 0;
  return steps * latency + std::max(bytes / copy_bandwidth, paced);
}

std::optional<Wire> read_wire(const Profile& profile) {
  const Parameter* latency = profile.find("wire.latency");
  if (latency == nullptr) {
    return std::nullopt;
  }
  const Parameter& copy = profile.at("wire.copy_bandwidth");
  Wire wire;
  wire.latency = latency->value;
  wire.copy_bandwidth = copy.value;
  wire.bandwidth = profile.value_or("wire.bandwidth", 0);
  wire.bucket = profile.value_or("wire.bucket", 0);
  wire.skew = profile.value_or("wire.skew", 0);
  wire.sd = profile.value_or("wire.sd_family", 0);
  wire.provenance = weakest(latency->provenance, copy.provenance);
  return wire;
}

WireWork wire_work(CollectiveKind kind, double packed, int ranks) {
  const double others = static_cast<double>(ranks - 1) / ranks;
  const double share = 1.0 / ranks;
  switch (kind) {
    case CollectiveKind::all_reduce:
      return {2 * others * packed, 2, 3 + share};
    case CollectiveKind::all_gather:
      return {others * packed, 1, 1 + share};
    case CollectiveKind::reduce_scatter:
      return {others * packed, 1, 2};
    default:
      break;
  }
  FT_CHECK(false, "{} over a measured wire", kCollectiveKindNames[static_cast<std::size_t>(kind)]);
}

}  // namespace foretoken
