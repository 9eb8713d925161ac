#include "sim/cost/codec_cost.h"

#include <fmt/format.h>

#include "sim/cost/assumptions.h"

namespace foretoken {
namespace {

constexpr double kRawBytes = 2;  // a value in memory

std::string head(const std::string& format) { return format.substr(0, format.find('/')); }

}  // namespace

CodecCost::CodecCost(const Profile& profile) {
  constexpr std::string_view kPrefix = "codec.";
  constexpr std::string_view kSuffix = ".bandwidth";
  for (const auto& [key, parameter] : profile.parameters) {
    if (!key.starts_with(kPrefix) || !key.ends_with(kSuffix)) {
      continue;
    }
    const std::string format =
        key.substr(kPrefix.size(), key.size() - kPrefix.size() - kSuffix.size());
    Line line{0, parameter.value, parameter.provenance};
    if (const Parameter* t0 = profile.find(fmt::format("codec.{}.t0", format))) {
      line.t0 = t0->value;
      line.provenance = weakest(line.provenance, t0->provenance);
    }
    known_.emplace(format, line);
  }
  t0_ = profile.value_or("elementwise.t0", assumed::kElementwiseT0);
  const double efficiency = profile.value_or(
      "elementwise.bandwidth_efficiency",
      profile.value_or("device.bandwidth_efficiency", assumed::kBandwidthEfficiency));
  memory_bandwidth_ = profile.at("device.memory_bandwidth").value * efficiency;
}

CodecCost::Line CodecCost::line(const Format& wire) const {
  const std::string name = to_string(wire);
  for (const std::string& key : {name, head(name)}) {
    if (const auto it = known_.find(key); it != known_.end()) {
      return it->second;
    }
  }
  const double share = kRawBytes / (kRawBytes + wire.bytes_per_value());
  return {t0_, memory_bandwidth_ * share, Provenance::assumed};
}

double CodecCost::seconds(std::int64_t values, const Format& wire) const {
  const Line cost = line(wire);
  return cost.t0 + static_cast<double>(values) * kRawBytes / cost.bandwidth;
}

Provenance CodecCost::provenance(const Format& wire) const { return line(wire).provenance; }

}  // namespace foretoken
