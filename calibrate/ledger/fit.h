// Fits the engine-wide constants on published results.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "calibrate/ledger/constants.h"
#include "calibrate/ledger/row.h"
#include "calibrate/ledger/rules.h"

namespace foretoken::calibrate {

using TableCosts = std::map<TableKey, std::shared_ptr<const CostModel>>;

// Least mean |log(predicted / measured)| over at most 80 rows a group, by pattern search. Groups of
// `start` without rows get a plain host's times. `rows` are not excluded.
ConstantSet fit_constants(const std::vector<LedgerRow>& rows, const TableCosts& costs,
                          const ConstantSet& start, int threads);

// Runs work(0..count-1) on some threads; 0: all cores.
void in_parallel(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

}  // namespace foretoken::calibrate
