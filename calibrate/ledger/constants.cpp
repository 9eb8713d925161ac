#include "calibrate/ledger/constants.h"

#include <fmt/format.h>

#include <array>

#include "calibrate/import/csv_table.h"
#include "calibrate/ledger/rules.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

constexpr std::array<std::string_view, 9> kColumns{
    "fitted_on",  "group",    "step_us",       "sequence_us",  "prefill_step_us",
    "request_us", "ranks_us", "residual_time", "residual_ttft"};
constexpr double kMicro = 1e-6;
constexpr double kHostSpread = 0.1;

}  // namespace

std::string constant_group(const LedgerRow& row) {
  const std::string engine = engine_name(row);
  switch (row.harness) {
    case Harness::serving:
      return engine + (inference_max(row) ? " serving InferenceMAX" : " serving");
    case Harness::offline:
      return engine + (row.version == "0.14" ? " max load 0.14" : " max load");
    case Harness::mlperf_offline:  // by the age of the code
      return engine + (row.version == "v4.1" ? " max load 0.14" : " max load");
    case Harness::fixed_batch:
      break;
  }
  return engine + " fixed batch";
}

std::map<std::string, ConstantSet> read_constants(const std::string& path) {
  const CsvTable table(path, {kColumns.begin(), kColumns.end()});
  std::map<std::string, ConstantSet> sets;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    EngineConstants& c =
        sets[std::string(table.text(i, "fitted_on"))][std::string(table.text(i, "group"))];
    c.host.step = kMicro * table.number(i, "step_us");
    c.host.sequence = kMicro * table.number(i, "sequence_us");
    c.host.prefill_step = kMicro * table.number(i, "prefill_step_us");
    c.host.request = kMicro * table.number(i, "request_us");
    c.host.ranks = kMicro * table.number(i, "ranks_us");
    c.host.sd = kHostSpread;
    c.host.provenance = c.host.request_provenance = Provenance::assumed;
    c.residual_time = table.number(i, "residual_time");
    c.residual_ttft = table.number(i, "residual_ttft");
  }
  return sets;
}

std::string constants_csv(const std::map<std::string, ConstantSet>& sets) {
  std::string text =
      "# made by `ledger REFERENCE --fit FILE`: least mean |log(predicted / measured)| of times "
      "per "
      "token, latencies and rates, TTFT at a tenth of their weight\n";
  text += fmt::format("{}\n", fmt::join(kColumns, ","));
  for (const auto& [name, set] : sets) {
    for (const auto& [group, c] : set) {
      text += fmt::format("{},{},{:.0f},{:.2f},{:.0f},{:.0f},{:.0f},{:.3f},{:.3f}\n", name, group,
                          c.host.step / kMicro, c.host.sequence / kMicro,
                          c.host.prefill_step / kMicro, c.host.request / kMicro,
                          c.host.ranks / kMicro, c.residual_time, c.residual_ttft);
    }
  }
  return text;
}

char half_of(const LedgerRow& row) {
  return hash_text(find_model(row.model) + " on " + find_gpu(row.gpu)->name) % 2 == 0 ? 'A' : 'B';
}

}  // namespace foretoken::calibrate
