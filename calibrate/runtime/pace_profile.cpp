#include "calibrate/runtime/pace_profile.h"

#include <string_view>

#include "calibrate/bench/pace.h"

namespace foretoken::runtime {
namespace {

// A parameter that the pace moves.
struct Scaled {
  std::string_view begins, ends;
  const char* pace;  // the parameter that says at which pace it was measured
  double elasticity;
  bool rate;
};
// GEMM: of many rows and of few, as the samples beside the fits. What a kernel's sockets do for a
// message lies between the two.
constexpr Scaled kScaled[] = {{"gemm.", ".peak", "device.pace", 0.9, true},
                              {"gemm.", ".bandwidth_efficiency", "device.pace", 0.45, true},
                              {"gemm.", ".t0", "device.pace", 0.9, false},
                              {"host.", "step", "device.pace", 1, false},
                              {"host.sequence", "", "device.pace", 1, false},
                              {"wire.latency", "", "wire.pace", 0.8, false},
                              {"wire.copy_bandwidth", "", "wire.pace", 0.8, true},
                              {"codec.", ".t0", "wire.pace", 1, false},
                              {"codec.", ".bandwidth", "wire.pace", 1, true}};

}  // namespace

Profile at_pace(Profile profile, double pace) {
  const Profile before = profile;
  for (auto& [name, parameter] : profile.parameters) {
    for (const Scaled& scaled : kScaled) {
      const double measured = before.value_or(scaled.pace, pace);
      if (name.starts_with(scaled.begins) && name.ends_with(scaled.ends)) {
        const double factor = calibrate::at_pace(1, scaled.elasticity, measured, pace);
        parameter.value *= scaled.rate ? 1 / factor : factor;
      }
    }
    if (name == "device.pace" || name == "wire.pace") {
      parameter.value = pace;
    }
  }
  const double measured = before.value_or("device.pace", pace);
  for (auto& [name, table] : profile.samples) {
    for (Sample& sample : table.samples) {
      sample.seconds = calibrate::at_pace(
          sample.seconds, calibrate::pace_elasticity(name, sample.shape), measured, pace);
    }
  }
  return profile;
}

}  // namespace foretoken::runtime
