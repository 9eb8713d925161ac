#include "calibrate/published/cost_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "calibrate/fit/sampling.h"
#include "calibrate/fit/search.h"
#include "calibrate/import/aiconfigurator.h"
#include "sim/cost/gemm_format.h"

namespace foretoken::calibrate {
namespace {

// 33 x 6 = 198 samples: at most 200.
constexpr int kGroups = 33;
constexpr int kPerGroup = 6;
// Two independent public collections of the same GEMMs differ by about 5 %: no fit is surer than
// that.
constexpr double kRepeatability = 0.02;

struct GemmCase {
  const char* file;
  const char* device;
  int sms;
  const char* format;
  double target_mean, target_p90;
};
constexpr GemmCase kGemmCases[] = {
    {"gemm/h100_sxm_trtllm_1.3.0rc20.csv", "H100 SXM", 132, "bf16", 0.07, 0.20},
    {"gemm/h200_sxm_trtllm_1.3.0rc20.csv", "H200 SXM", 132, "bf16", 0.07, 0.20},
    {"gemm/h100_sxm_trtllm_1.3.0rc20.csv", "H100 SXM", 132, "fp8", 0.09, 0},
    {"gemm/h200_sxm_trtllm_1.3.0rc20.csv", "H200 SXM", 132, "fp8", 0.09, 0},
    {"gemm/a100_sxm_trtllm_1.0.0.csv", "A100 SXM", 108, "w4a16", 0.10, 0},
    {"gemm/h200_sxm_trtllm_1.2.0rc5_weightonly.csv", "H200 SXM", 132, "w4a16", 0.10, 0},
    {"gemm/l40s_trtllm_1.0.0_weightonly.csv", "L40S", 142, "w4a16", 0.10, 0},
    {"gemm/a100_sxm_trtllm_1.0.0.csv", "A100 SXM", 108, "w8a8", 0.10, 0},
    {"gemm/h200_sxm_trtllm_1.2.0rc5_weightonly.csv", "H200 SXM", 132, "w8a8", 0.10, 0},
    {"gemm/l40s_trtllm_1.0.0_weightonly.csv", "L40S", 142, "w8a8", 0.10, 0},
    {"gemm/a100_sxm_trtllm_1.0.0.csv", "A100 SXM", 108, "bf16", 0, 0},
    {"gemm/l40s_trtllm_1.3.0rc20.csv", "L40S", 142, "bf16", 0, 0},
    {"gemm/l40s_trtllm_1.3.0rc20.csv", "L40S", 142, "fp8", 0, 0},
    {"gemm/rtx_pro_6000_trtllm_1.3.0rc20.csv", "RTX PRO 6000", 188, "bf16", 0, 0},
    {"gemm/rtx_pro_6000_trtllm_1.3.0rc20.csv", "RTX PRO 6000", 188, "fp8", 0, 0},
};

// Each file is read once.
class Tables {
 public:
  explicit Tables(const std::filesystem::path& ops) : ops_(ops) {}
  const SampleTable& gemm(const std::string& file, const std::string& format) {
    auto it = read_.find(file);
    if (it == read_.end()) {
      it = read_.emplace(file, importer::read_gemm_table((ops_ / file).string())).first;
    }
    return it->second.at("gemm." + format);
  }

 private:
  std::filesystem::path ops_;
  std::map<std::string, std::map<std::string, SampleTable>> read_;
};

GemmOp like_format(const char* format) {
  const auto formats = parse_gemm_format_name(format);
  GemmOp like;
  like.weights = formats->weights;
  like.activations = formats->activations;
  return like;
}

CostModelRow gemm_row(Tables& tables, const GemmCase& test) {
  const SampleTable& table = tables.gemm(test.file, test.format);
  const Sampling sampling = choose_gemm_samples(table.samples, kGroups, kPerGroup);
  const GemmOp like = like_format(test.format);
  const GemmFit fit = fit_gemm(sampling.chosen, like, test.sms, kRepeatability);
  CostModelRow row;
  row.family = fmt::format("GEMM {}", test.format);
  row.device = test.device;
  row.file = test.file;
  row.source = table.source;
  row.fitted_on = static_cast<int>(sampling.chosen.size());
  row.held_out = test_gemm_fit(fit, fit.roofline, sampling.chosen, sampling.unseen, like);
  row.target_mean = test.target_mean;
  row.target_p90 = test.target_p90;
  return row;
}

// H200 is an H100 with faster memory (datasheets: 4.8 against 3.35 TB/s).
CostModelRow transfer_row(Tables& tables) {
  const GemmOp like = like_format("bf16");
  const SampleTable& known = tables.gemm("gemm/h100_sxm_trtllm_1.3.0rc20.csv", "bf16");
  const SampleTable& other = tables.gemm("gemm/h200_sxm_trtllm_1.3.0rc20.csv", "bf16");
  const Sampling sampling = choose_gemm_samples(known.samples, kGroups, kPerGroup);
  const GemmFit fit = fit_gemm(sampling.chosen, like, 132, kRepeatability);
  GemmRoofline scaled = fit.roofline;
  scaled.bandwidth *= 4.8 / 3.35;
  CostModelRow row;
  row.family = "GEMM bf16";
  row.device = "H200 from H100";
  row.file = "gemm/h200_sxm_trtllm_1.3.0rc20.csv";
  row.source = other.source;
  row.fitted_on = static_cast<int>(sampling.chosen.size());
  row.held_out = test_gemm_fit(fit, scaled, sampling.chosen, other.samples, like);
  row.target_mean = 0.09;
  row.note = "no H200 sample used";
  return row;
}

std::string verdict(const CostModelRow& row) {
  if (row.target_mean == 0) {
    return "";
  }
  const bool met = row.held_out.mean <= row.target_mean &&
                   (row.target_p90 == 0 || row.held_out.p90 <= row.target_p90);
  return met ? "met" : "missed";
}

}  // namespace

std::vector<CostModelRow> evaluate_cost_models(const std::filesystem::path& ops) {
  Tables tables(ops);
  std::vector<CostModelRow> rows;
  for (const GemmCase& test : kGemmCases) {
    rows.push_back(gemm_row(tables, test));
  }
  rows.push_back(transfer_row(tables));
  return rows;
}

std::string cost_model_page(const std::vector<CostModelRow>& rows) {
  std::string text =
      "# Cost models against public measurements\n\n"
      "Made by `build/release/cost_models ../shared/reference/ops "
      "reports/published/cost-models.md`. Each model is fitted on the samples of the fourth column "
      "and tested on all rows of the (n, k) shapes of which it saw none. Errors are |predicted / "
      "measured - 1|. \"Covered\" is the share inside the nominal 90 % interval, \"half-width\" "
      "the "
      "median half-width of that interval. Data: the operator tables of ai-dynamo/aiconfigurator, "
      "commit 095f58a51c4c (Apache-2.0).\n\n"
      "| model | device | table | fitted on | tested on | median | mean | p90 | covered | "
      "half-width | "
      "target "
      "| verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const CostModelRow& row : rows) {
    std::string target;
    if (row.target_mean > 0) {
      target = fmt::format("mean {:.0f} %", 100 * row.target_mean);
      target += row.target_p90 > 0 ? fmt::format(", p90 {:.0f} %", 100 * row.target_p90) : "";
    }
    const HeldOut& held_out = row.held_out;
    const std::string device = row.device + (row.note.empty() ? "" : " (" + row.note + ")");
    text += fmt::format("| {} | {} | {} | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % ", row.family,
                        device, row.file, row.fitted_on, held_out.samples, 100 * held_out.median,
                        100 * held_out.mean, 100 * held_out.p90);
    text += fmt::format("| {:.0f} % | {:.0f} % | {} | {} |\n", 100 * held_out.coverage,
                        100 * held_out.half_width, target, verdict(row));
  }
  return text;
}

}  // namespace foretoken::calibrate
