// Engine-wide constants: what an engine's host and its launches cost under one kind of load, and
// what they leave unexplained. Fitted on the published results by `ledger --fit`, kept in
// constants.csv; never per row, model or GPU.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calibrate/ledger/row.h"
#include "sim/cost/cost_model.h"

namespace foretoken::calibrate {

struct EngineConstants {
  HostCosts host;
  // Spread (log) of what the fit left: of times per token and rates, and of TTFT.
  double residual_time = 0, residual_ttft = 0;
};

// By group: an engine under a kind of load ("vllm serving", "trtllm max load 0.14").
using ConstantSet = std::map<std::string, EngineConstants>;

// Group of a row that is not excluded.
std::string constant_group(const LedgerRow& row);

// The sets of a file, by what they were fitted on ("all", "half A", "half B"). Throws InputError.
std::map<std::string, ConstantSet> read_constants(const std::string& path);
std::string constants_csv(const std::map<std::string, ConstantSet>& sets);

// Half of the (model, GPU) pairs that a row belongs to, from the pair's name alone.
char half_of(const LedgerRow& row);

}  // namespace foretoken::calibrate
