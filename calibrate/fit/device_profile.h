// Measurements of a device -> a profile and the table that says how good it is. Pure.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "calibrate/fit/measurements.h"

namespace foretoken::calibrate {

struct FamilyReport {
  std::string family;  // "gemm.bf16"
  int samples = 0;
  std::vector<Trial> trials;  // predictions of samples left out of the fit
  HeldOut held_out;
};

struct DeviceProfile {
  Profile profile;
  std::vector<FamilyReport> families;
};

// Families without measurements are left out of the profile.
DeviceProfile make_device_profile(const DeviceMeasurements& measured,
                                  const std::vector<PairLink>& links);

}  // namespace foretoken::calibrate
