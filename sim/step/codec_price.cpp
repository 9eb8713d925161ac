#include "sim/step/codec_price.h"

#include <cmath>

#include "sim/core/random.h"

namespace foretoken {
namespace {

constexpr int kRawBytes = 2;  // values stand in memory as bf16

}  // namespace

Estimate codec_price(const CostModel& cost, CodecPhase phase, std::int64_t values,
                     const Format& wire) {
  if (const auto measured = cost.codec(phase, values, wire)) {
    return *measured;
  }
  const Profile& profile = cost.profile();
  const std::string key = "codec." + to_string(wire);
  const Parameter* bandwidth = profile.find(key + ".bandwidth");
  if (bandwidth == nullptr) {
    const auto packed =
        static_cast<std::int64_t>(std::ceil(static_cast<double>(values) * wire.bytes_per_value()));
    Estimate estimate = cost.elementwise({values * kRawBytes, packed});
    estimate.provenance = Provenance::assumed;
    return estimate;
  }
  Estimate estimate;
  estimate.provenance = bandwidth->provenance;
  estimate.seconds = static_cast<double>(values * kRawBytes) / bandwidth->value;
  if (const Parameter* t0 = profile.find(key + ".t0")) {
    estimate.seconds += t0->value;
    estimate.provenance = weakest(estimate.provenance, t0->provenance);
  }
  estimate.sd_family = profile.value_or("codec.sd_family", 0);
  estimate.family_key = hash_text("codec");
  return estimate;
}

}  // namespace foretoken
