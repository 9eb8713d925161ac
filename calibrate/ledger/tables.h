// Imported tables of one GPU and engine as costs.
#pragma once

#include <memory>
#include <string>

#include "calibrate/ledger/rules.h"
#include "sim/cost/cost_model.h"

namespace foretoken::calibrate {

// Reads FOLDER/ops over the GPU's datasheet profile. Throws InputError.
// The result knows no host times: see CostModel::with_host.
std::shared_ptr<const CostModel> make_costs(const std::string& folder, const TableKey& key);

}  // namespace foretoken::calibrate
