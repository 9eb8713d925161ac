// MLPerf Inference, Offline scenario: what its runs served and how, as published apart from the
// results. Facts of the workload and of the servers; nothing here comes from a measured rate.
#pragma once

#include <cstdint>
#include <string_view>

#include "calibrate/ledger/row.h"
#include "sim/spec/scenario.h"

namespace foretoken::calibrate {

// One engine of a run; a system runs as many as its accelerators hold.
struct MlperfSettings {
  std::string_view round, gpu, model;  // as in the rows; model: how its name starts
  int tensor, pipeline;
  std::string_view weights;
  int max_batch;
  std::int64_t token_budget;
  double kv_share;         // of the memory that weights leave
  double least_seconds;    // of load
  std::int64_t least_run;  // queries: the data set, once
};

// nullptr: not published for this round, GPU and model.
const MlperfSettings* mlperf_settings(const LedgerRow& row);

// Lengths of the model's data set, for a mean output of `output` tokens.
// REQUIRES: settings are published.
LengthSpec mlperf_lengths(const LedgerRow& row);

// Why an MLPerf row on a GPU with tables and with a known model cannot be scored; empty: it can.
// From what was run alone.
std::string_view mlperf_excluded(const LedgerRow& row);

}  // namespace foretoken::calibrate
