// A profile of the executor's own operators: synthetic models of several shapes run step by step,
// and every operator's time is a sample of it. Caches, neighbours and clocks are those of an engine
// at work, not of a benchmark's loop. Shapes that a prediction is to be tested on can be kept out.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sim/spec/model.h"
#include "sim/spec/profile.h"
#include "sim/spec/scenario.h"

namespace foretoken::runtime {

// A sample table and a shape in it (sim/spec/profile.h).
using SampleKey = std::pair<std::string, std::vector<std::int64_t>>;

struct EngineSamples {
  int tensor = 1;
  double pace = 0;  // s of the sentinel (quiet.h), at which all times are stated; 0: none yet
  int rounds = 0;   // every step's time is the median over these
  std::map<SampleKey, std::vector<double>> operators;  // s, one a step in which they occur
  struct Host {
    double sequences = 0;
    bool prefill = false;
    double seconds = 0;  // of a step, outside its operators
  };
  std::vector<Host> hosts;
  // What a step spent in collectives, and what in everything else: ranks wait for each other.
  struct Wait {
    std::int64_t calls = 0;
    double bytes = 0;                  // uncompressed, of all of them
    double collective = 0, other = 0;  // s
  };
  std::vector<Wait> waits;  // two ranks or more
  // Of each step: largest over least time of its operators in the three runs kept, its logarithm.
  std::vector<double> spreads;
  std::vector<double> steps;   // s, of each step's operators but the collectives
  std::vector<double> drifts;  // of each step: its time when measured again later, its logarithm
  void add(const EngineSamples& other);  // REQUIRES: the same tensor degree
  // What the same call of measure_engine found later: more samples, and what had moved meanwhile.
  void add_again(const EngineSamples& later);
};

// Runs prefill and decode steps of many sizes on one model. `tensor` ranks work at the same time.
EngineSamples measure_engine(const ModelSpec& model, const PrecisionSpec& precision, int tensor,
                             int rounds);

// All of them at one pace. REQUIRES: one at least, of the same tensor degree.
EngineSamples together(const std::vector<EngineSamples>& samples);

// Fits and tables, with the error on shapes left out. bf16 GEMMs must be among the samples: their
// peak is what attention is related to.
Profile engine_profile(const EngineSamples& samples);

nlohmann::json to_json(const EngineSamples& samples);
EngineSamples samples_from_json(const nlohmann::json& json);

// The models that `verify` calibrates with: the shapes of a 125M Llama and of Llama-3.1-8B, and two
// between them; none of the (n, k) shapes of Llama-3.2-1B.
std::vector<ModelSpec> calibration_models();

// bf16, int8 and int4 weights with int8 activations, per channel and with integer scales.
std::vector<PrecisionSpec> calibration_precisions();

}  // namespace foretoken::runtime
