// `foretoken explain`: where the TTFT and the time per token go, operator by operator.
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

struct StepTerms {
  std::string title;
  BatchShape batch;
  std::vector<Term> terms;  // longest first; the host is one of them
  Time total = kTimeZero;
};

struct Explanation {
  double mean_input = 0;    // tokens
  double mean_decode = 0;   // sequences decoded in a step
  double mean_context = 0;  // tokens in the cache of each
  Time front_end = kTimeZero;
  StepTerms prefill;                          // one average prompt, alone
  StepTerms decode;                           // one average decode step
  double mean_ttft_ms = 0, mean_tpot_ms = 0;  // of the simulated run
};

Explanation explain(const Simulation& simulation, const Result& point);
std::string text(const Simulation& simulation, const Explanation& explanation);
nlohmann::ordered_json json(const Simulation& simulation, const Explanation& explanation);

}  // namespace foretoken::reports
