// Predicts the metrics of a published row, with intervals.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "calibrate/ledger/constants.h"
#include "calibrate/ledger/row.h"
#include "sim/cost/cost_model.h"
#include "sim/metrics/metrics.h"

namespace foretoken::calibrate {

struct LedgerPrediction {
  std::map<std::string, double> value;  // by the row's names of metrics
  std::map<std::string, Interval> interval;
  // Where the simulated time went, so that a miss can be explained.
  std::int64_t steps = 0, prefill_steps = 0, decode_tokens = 0;
  TimeShare time;
  double end_s = 0;
  bool extrapolated = false;
  std::string refused;  // what the simulator said; empty: predicted
};

// `replications` >= 2 for intervals (90 %).
LedgerPrediction predict(const LedgerRow& row, const CostModel& tables,
                         const EngineConstants& constants, int replications);

}  // namespace foretoken::calibrate
