// How well the cost models predict public measurements that they were not fitted on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "calibrate/published/layouts.h"
#include "calibrate/published/sisters.h"

namespace foretoken::calibrate {

struct CostModelRow {
  std::string family;  // "GEMM bf16"
  std::string device;  // "H100 SXM"
  std::string file;    // of the reference data, below ops/
  std::string source;  // as the file names it
  int fitted_on = 0;   // samples; of each of two fits where the halves predict each other
  int sizes = 0;       // collectives: measured sizes of each number of ranks
  HeldOut held_out;
  double target_mean = 0;  // 0: none
  double target_p90 = 0;
  bool target_intervals = false;  // 85-95 % covered, half-width <= 2.5 x the median error
  std::string note;
};

// The interval's half-width over the median error.
double sharpness(const HeldOut& held_out);

// Fits and tests every table below `ops`, a folder of reference data, on all cores. Deterministic.
std::vector<CostModelRow> evaluate_cost_models(const std::filesystem::path& ops);

// The page: tables and how they were made.
std::string cost_model_page(const std::vector<CostModelRow>& rows,
                            const std::vector<LayoutRow>& layouts,
                            const std::vector<SisterRow>& sisters);

}  // namespace foretoken::calibrate
