// How well the cost models predict public measurements that they were not fitted on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"

namespace foretoken::calibrate {

struct CostModelRow {
  std::string family;  // "GEMM bf16"
  std::string device;  // "H100 SXM"
  std::string file;    // of the reference data, below ops/
  std::string source;  // as the file names it
  int fitted_on = 0;   // samples
  HeldOut held_out;
  double target_mean = 0;  // of issue's acceptance; 0: none
  double target_p90 = 0;
  std::string note;
};

// Fits and tests every table below `ops`, a folder of reference data. Deterministic.
std::vector<CostModelRow> evaluate_cost_models(const std::filesystem::path& ops);

// The page: a table and how it was made.
std::string cost_model_page(const std::vector<CostModelRow>& rows);

}  // namespace foretoken::calibrate
