// What others measured a model to lose at some bit widths.
#pragma once

#include <optional>
#include <string>

#include "sim/spec/format.h"

namespace foretoken {

struct PublishedAccuracy {
  std::string model;   // as published
  std::string family;  // a scenario's model belongs to it whose name begins so: "llama-3"
  std::string method;
  // What was narrowed; what is absent was left alone.
  std::optional<Format> weights, activations, all_reduce;
  std::string benchmark;
  double recovery = 0;  // share of the original's score that is left
  std::optional<double> baseline, score;
  std::string source;
};

}  // namespace foretoken
