// Predicts the metrics of a published row, with intervals.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "calibrate/ledger/row.h"
#include "sim/cost/cost_model.h"
#include "sim/metrics/metrics.h"

namespace foretoken::calibrate {

struct LedgerPrediction {
  std::map<std::string, double> value;  // by the row's names of metrics
  std::map<std::string, Interval> interval;
  bool extrapolated = false;
  std::string refused;  // what the simulator said; empty: predicted
};

// `replications` >= 2 for intervals (90 %).
LedgerPrediction predict(const LedgerRow& row, const std::shared_ptr<const CostModel>& costs,
                         int replications);

}  // namespace foretoken::calibrate
