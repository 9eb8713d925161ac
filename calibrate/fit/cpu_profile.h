// Measurements of a CPU -> a profile and the table that says how good it is. Pure.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "calibrate/fit/measurements.h"

namespace foretoken::calibrate {

struct FamilyReport {
  std::string family;  // "gemm.bf16"
  int samples = 0;
  HeldOut held_out;
};

struct CpuProfile {
  Profile profile;
  std::vector<FamilyReport> families;
};

// Families without measurements are left out of the profile.
CpuProfile make_cpu_profile(const CpuMeasurements& measured, const PairLink& link);

// "family  samples  mean  p90  covered  half-width", one row a family.
std::string describe(const std::vector<FamilyReport>& families);

}  // namespace foretoken::calibrate
