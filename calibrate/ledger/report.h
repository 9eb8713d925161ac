// The accuracy ledger as Markdown and as a page of charts, and its rows as CSV.
#pragma once

#include <string>
#include <vector>

#include "calibrate/ledger/predict.h"
#include "calibrate/ledger/row.h"
#include "reports/page/page.h"

namespace foretoken::calibrate {

struct ScoredRow {
  LedgerRow row;
  LedgerPrediction prediction;
  LedgerPrediction half_fit;  // with constants fitted on half A of the pairs; no intervals
};

std::string ledger_markdown(const std::vector<ScoredRow>& rows);
// Predicted against measured by engine and by GPU, and the errors of each group.
page::Document ledger_page(const std::vector<ScoredRow>& rows);
std::string ledger_csv(const std::vector<ScoredRow>& rows);

}  // namespace foretoken::calibrate
