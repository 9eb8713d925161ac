// `foretoken explain`: where the TTFT and the time per token go, term by term.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/serving/simulation.h"

namespace foretoken::reports {

// One operator of a step, summed over layers and stages.
struct Term {
  std::string name;
  OpFamily family;
  Time time;
  Provenance provenance;
  bool extrapolated;
};

// Where a GEMM stands under the roofline that GEMMs of its format reach on this device.
struct GemmPosition {
  std::string name;
  GemmOp op;
  std::string format;  // as in profiles
  Time once = kTimeZero;
  std::int64_t times = 0;
  double rate = 0;        // op/s
  double intensity = 0;   // operations per byte moved
  double ridge = 0;       // intensity from which the peak is the limit, and not the bandwidth
  double roof_share = 0;  // time that the limit alone would take / time
  bool compute_bound() const { return intensity >= ridge; }
};

// One collective of a step and what holds it up.
struct CollectivePosition {
  std::string name;
  CollectiveOp op;
  std::int64_t times = 0;
  CollectiveAnatomy anatomy;
  std::string critical_link;  // "gpu0 -> switch0 (pix)"
};

// Part of a waterfall. Parts add up to the whole; one that takes time away is negative.
struct Part {
  std::string name;
  Time time = kTimeZero;
};

struct StepTerms {
  std::string title;
  BatchShape batch;
  std::vector<Term> terms;  // longest first; the host is one of them
  Time total = kTimeZero;   // of the terms
  // The same by cause, in the order of the work: host, GEMMs by format, attention, elementwise,
  // codec, wire, contention, pipeline bubbles.
  std::vector<Part> parts;
  std::vector<GemmPosition> gemms;
  std::vector<CollectivePosition> collectives;
};

struct Explanation {
  double mean_input = 0;                      // tokens
  double mean_decode = 0;                     // sequences decoded in a step
  double mean_context = 0;                    // tokens in the cache of each
  StepTerms prefill;                          // one average prompt, alone
  StepTerms decode;                           // one average decode step
  double mean_ttft_ms = 0, mean_tpot_ms = 0;  // of the simulated run
  // What they are made of; each adds up to the mean.
  std::vector<Part> ttft, tpot;
};

Explanation explain(const Simulation& simulation, const Result& point);
std::string text(const Simulation& simulation, const Explanation& explanation);
nlohmann::ordered_json json(const Simulation& simulation, const Explanation& explanation);

// Two scenarios, term by term.
struct Explained {
  const Simulation& simulation;
  const Explanation& explanation;
};
// A part of either, in the order of both.
struct PartPair {
  std::string name;
  Time a = kTimeZero, b = kTimeZero;
};
std::vector<PartPair> pair_up(const std::vector<Part>& a, const std::vector<Part>& b);
std::string difference_text(const Explained& a, const Explained& b);
nlohmann::ordered_json difference_json(const Explained& a, const Explained& b);

}  // namespace foretoken::reports
