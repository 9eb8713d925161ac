// How well a group of four is predicted from measurements of two and eight: public NCCL and custom
// all-reduce tables, system by system, beside plain interpolation.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calibrate/collective/all_reduce_fit.h"

namespace foretoken::calibrate {

struct AllReducePrediction {
  std::string library;  // "NCCL 2.29.2", "trtllm 1.3.0rc20"
  std::string system;
  bool custom = false;
  int points = 0;            // of four ranks
  double fit_error = 0;      // mean |ratio - 1| on two and eight ranks
  double error = 0;          // on four
  double interpolation = 0;  // on four: the geometric mean of the times of two and eight
};

// By system, fitted on the two and eight ranks of the NCCL table in `folder`.
std::map<std::string, AllReduceModel> fitted_nccl_models(const std::string& folder);

// Reads nccl_single_node.csv and custom_allreduce_single_node.csv (the columns of
// ai-dynamo/aiconfigurator's tables) in `folder`. Left out: eager and sglang rows, which measure
// host overhead too, L40S, whose eight ranks run at 1.5 GB/s, and systems without eight ranks.
std::vector<AllReducePrediction> predict_all_reduce(const std::string& folder);

std::string to_markdown(const std::vector<AllReducePrediction>& predictions);

}  // namespace foretoken::calibrate
