// `foretoken calibrate`: measure this machine, fit, prove, write a profile and say how good it is.
#pragma once

#include <atomic>
#include <functional>
#include <ostream>
#include <string>

#include "calibrate/bench/suite.h"
#include "calibrate/fit/device_profile.h"
#include "sim/spec/profile.h"
#include "sim/topology/topology.h"

namespace foretoken::calibrate {

struct CalibrateOptions {
  std::string backend = "cpu";
  SuiteOptions suite;
  std::string out = "cpu.yaml";  // samples stand beside it as NAME.FAMILY.csv
  double budget = 0;             // s of measuring; 0: 50 with suite.quick, else 420
  bool restart = false;          // forget what an interrupted run has measured
  // Whose link between GPU 0 and 1 efficiencies of thread and TCP all-reduces refer to.
  std::string topology = "cpu-2core";
  std::string page;            // self-contained HTML with plots; empty: none
  std::string benchmark_json;  // Google Benchmark's schema; empty: none
  bool show_progress = false;
  const std::atomic<bool>* stop = nullptr;  // set by a signal
};

inline constexpr int kInterrupted = 130;  // exit status, as shells have it after SIGINT

// Returns the exit status. Throws InputError when the profile cannot be written there or the
// backend is not available: before anything is measured where that can be known. Finished samples
// stay in NAME.journal beside the profile until the profile is there, and a later run with the same
// --out goes on from them.
int run_calibrate(const CalibrateOptions& options, std::ostream& out, std::ostream& progress);

// All files of the profile or none: they are written into a folder beside the target and renamed
// into place, the YAML last. Throws InputError; what stood there before is then still there.
void save_profile_atomically(const Profile& profile, const std::string& path);

// A topology by name or path with at least two devices.
Topology pair_topology(const std::string& name);

}  // namespace foretoken::calibrate
