// Attention of head layouts that nobody measured, and of larger calls than were, as `simulate`
// prices it from a table of other calls (sim/cost/attention_table.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "calibrate/fit/gemm_fit.h"

namespace foretoken::calibrate {

struct LayoutRow {
  std::string family;  // "context attention, bf16 cache"
  std::string device;  // "H100 SXM"
  std::string file;    // of the reference data, below ops/
  // Half of the layouts of each head size and window, predicted from the other half, and that half
  // from this one.
  HeldOut layouts;
  // The calls of a layout with more than a quarter of its largest batch x tokens, predicted from
  // its others and all calls of the other layouts.
  HeldOut large;
  // All calls of other head sizes, or within a window, predicted from full attention on heads of
  // 128 values; no samples where the table has none.
  HeldOut head_sizes;
};

// Every attention table below `ops` with every row of its other half. Deterministic.
std::vector<LayoutRow> evaluate_other_layouts(const std::filesystem::path& ops);

}  // namespace foretoken::calibrate
