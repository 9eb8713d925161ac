// `foretoken calibrate`: measure this machine, fit, write a profile, print how good it is.
#pragma once

#include <functional>
#include <ostream>
#include <string>

#include "calibrate/fit/measurements.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

struct CalibrateOptions {
  std::string backend = "cpu";
  bool quick = false;
  std::string out = "cpu.yaml";        // samples stand beside it as NAME.FAMILY.csv
  std::string topology = "cpu-2core";  // whose link between GPU 0 and 1 efficiencies refer to
  bool show_progress = false;
};

// Returns the exit status. Throws InputError when the profile cannot be written there or the
// backend is not available: before anything is measured where that can be known.
int run_calibrate(const CalibrateOptions& options, std::ostream& out, std::ostream& progress);

// All files of the profile or none: they are written into a folder beside the target and renamed
// into place, the YAML last. Throws InputError; what stood there before is then still there.
void save_profile_atomically(const Profile& profile, const std::string& path);

// The link between the first two devices of a topology, by name or path.
PairLink pair_link(const std::string& topology);

}  // namespace foretoken::calibrate
