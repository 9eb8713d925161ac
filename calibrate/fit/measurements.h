// What a calibration measured, as plain numbers: all that the fits need. The sample tables are
// those of the profile (sim/spec/profile.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/spec/profile.h"
#include "sim/topology/topology.h"

namespace foretoken::calibrate {

struct DeviceMeasurements {
  std::string device;       // "Intel Xeon, one core"
  std::string fingerprint;  // of machine and build
  std::string date;
  std::string method;            // how, in one line: goes into every source text
  double memory = 0;             // bytes of one device
  double l2 = 0;                 // bytes
  int sms = 1;                   // streaming multiprocessors; a core is one
  double repeatability = 0.005;  // sd of the logarithm of a repeated sample
  std::map<std::string, std::vector<Sample>> samples;  // by table: "gemm.bf16"
};

// Where all-reduces were measured: their samples are related to the link between GPU 0 and 1.
struct PairLink {
  std::string family;  // "all_reduce", "tcp_all_reduce"
  std::string how;     // "two threads, shared memory"
  const Topology* topology = nullptr;
};

}  // namespace foretoken::calibrate
