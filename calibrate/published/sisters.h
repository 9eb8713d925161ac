// A sister device's tables from those of a measured one (calibrate/fit/transfer.h), against its
// own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"

namespace foretoken::calibrate {

struct SisterRow {
  std::string table;       // "gemm.bf16"
  HeldOut transferred;     // over the calls that both measured
  HeldOut as_it_measured;  // the other device's times as they are
};

// The H200 from the H100. Deterministic.
std::vector<SisterRow> evaluate_sisters(const std::filesystem::path& ops);

}  // namespace foretoken::calibrate
