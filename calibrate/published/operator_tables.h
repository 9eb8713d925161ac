// Public tables as families of calls that can be fitted and tested: formula, coordinates, groups.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "calibrate/fit/operator_fit.h"
#include "calibrate/import/aiconfigurator.h"

namespace foretoken::calibrate {

// A table whose groups are dealt out to two halves: group by group in turn within each kernel
// class, so that both halves have every class (head size, window, model, ...).
struct SplitTable {
  OperatorTable table;
  std::array<std::vector<std::size_t>, 2> half;  // rows
  std::string source;
};

// GEMMs of one format: rows 0..calibration.size()-1, then the others. Groups are (n, k).
OperatorTable gemm_operator_table(std::span<const Sample> calibration,
                                  std::span<const Sample> others, const GemmOp& like, int sms);
// The roofline of fitted parameters.
GemmRoofline gemm_roofline_of(const std::vector<double>& parameters, int sms);

// Rows with these formats of arithmetic and cache. Groups are head layouts; classes head size,
// window and whether each query head has its own KV head.
SplitTable attention_operator_table(const std::vector<importer::AttentionMeasurement>& rows,
                                    const Format& compute, const Format& kv_cache, int sms);
// Groups are numbers of heads.
SplitTable latent_operator_table(const std::vector<importer::LatentAttentionMeasurement>& rows,
                                 const Format& kv_cache, int sms);
// Groups are the expert shapes of one rank: model and parallel degrees, with all distributions of
// load; classes are models.
SplitTable moe_operator_table(const std::vector<importer::MoeMeasurement>& rows,
                              const std::string& format);
// Passes of one kind, a table of bytes for each model: groups are models.
SplitTable pass_operator_table(const std::vector<SampleTable>& models, int sms);
// Groups are widths. `bytes_per_value` read and written.
SplitTable quantise_operator_table(const SampleTable& samples, double bytes_per_value, int sms);

}  // namespace foretoken::calibrate
