// What a calibration of a CPU measured, as plain numbers: all that the fits need. One core is one
// device.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/model/operator.h"
#include "sim/spec/cluster.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

struct AttentionSample {
  AttentionOp op;
  double seconds = 0;
};

struct ElementwiseSample {
  ElementwiseOp op;
  double seconds = 0;
};

struct AllReduceSample {
  std::int64_t bytes = 0;  // per rank
  double seconds = 0;
};

struct HostSample {
  int sequences = 0;
  bool prefill = false;
  double seconds = 0;
};

struct CpuMeasurements {
  std::string cpu;
  std::string fingerprint;
  std::string date;
  std::string method;         // how, in one line: goes into every source text
  double memory = 0;          // bytes of one device
  double l2 = 0;              // bytes
  double read_bandwidth = 0;  // bytes/s, one core alone
  double read_bandwidth_of_two =
      0;                      // bytes/s of each of two cores reading together; 0: not measured
  double copy_bandwidth = 0;  // bytes/s read plus written, one core alone
  double repeatability = 0;  // sd of the logarithm of a repeated kernel while the machine was quiet
  int total_samples = 0;
  int dropped_samples = 0;  // taken while that kernel was slow, not quieter on repetition: left out
  int skipped_samples = 0;  // not measured: time was up
  int noisy_samples = 0;    // likewise, but kept for want of better
  std::map<std::string, std::vector<Sample>> gemm;  // by format name: "bf16", "w8a8"
  std::vector<AttentionSample> prefill, decode;
  std::vector<ElementwiseSample> elementwise;
  std::vector<AllReduceSample> all_reduce;  // two ranks, bf16
  std::vector<HostSample> host;
};

// The link between the two cores as the topology states it; the fit gives the share of it that was
// reached.
struct PairLink {
  LinkClass link_class = LinkClass::phb;
  double bandwidth = 0;  // bytes/s
  double latency = 0;    // s, of the whole path
};

}  // namespace foretoken::calibrate
