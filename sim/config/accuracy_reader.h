// Reads tables of published accuracy (calibrate/quality/published-accuracy.yaml and the user's
// own):
//
//   schema: 1
//   rows:
//     - model: Llama-3.1-8B-Instruct
//       family: llama-3            # matches models whose name begins so
//       method: GPTQ
//       weights: int4/g128         # at least one of weights, activations, all_reduce
//       benchmark: OpenLLM v1, average
//       recovery: 98.9%            # or baseline and score, where higher is better
//       source: where it stands
#pragma once

#include <string>
#include <vector>

#include "sim/spec/accuracy.h"

namespace foretoken::config {

// Throws InputError.
std::vector<PublishedAccuracy> read_accuracy(const std::string& path);

}  // namespace foretoken::config
