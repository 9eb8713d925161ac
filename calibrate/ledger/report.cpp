#include "calibrate/ledger/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>

#include "calibrate/ledger/rules.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

struct Error {
  const ScoredRow* scored = nullptr;
  std::string metric;
  double measured = 0, predicted = 0;
  Interval interval;
  bool has_interval = false;
  double relative() const { return predicted / measured - 1; }
  bool covered() const { return interval.low <= measured && measured <= interval.high; }
  double half_width() const { return (interval.high - interval.low) / 2 / predicted; }
};

std::vector<Error> collect(const std::vector<ScoredRow>& rows) {
  std::vector<Error> errors;
  for (const ScoredRow& scored : rows) {
    if (!scored.row.excluded.empty() || !scored.prediction.refused.empty()) {
      continue;
    }
    for (const auto& [metric, measured] : scored.row.measured) {
      const auto predicted = scored.prediction.value.find(metric);
      if (predicted == scored.prediction.value.end() || !(measured > 0) ||
          (metric == "ttft_ms" && scored.row.ttft_unexplained)) {
        continue;
      }
      Error error{&scored, metric, measured, predicted->second, {}, false};
      const auto interval = scored.prediction.interval.find(metric);
      if (interval != scored.prediction.interval.end()) {
        error.interval = interval->second;
        error.has_interval = true;
      }
      errors.push_back(error);
    }
  }
  return errors;
}

double quantile(std::vector<double> values, double percent) {
  std::sort(values.begin(), values.end());
  return percentile(values, percent);
}

// Of a group of errors, all in percent.
struct Spread {
  double median = 0, p90 = 0, bias = 0;
  double covered = 0, width = 0;  // of the intervals; width is the median half-width
  bool has_intervals = false;
};

Spread spread_of(const std::vector<Error>& errors) {
  std::vector<double> absolute, signed_errors, widths;
  double covered = 0;
  for (const Error& error : errors) {
    absolute.push_back(std::abs(error.relative()));
    signed_errors.push_back(error.relative());
    if (error.has_interval) {
      covered += error.covered() ? 1 : 0;
      widths.push_back(error.half_width());
    }
  }
  Spread spread{100 * quantile(absolute, 50), 100 * quantile(absolute, 90),
                100 * quantile(signed_errors, 50)};
  if (!widths.empty()) {
    spread.covered = 100 * covered / static_cast<double>(widths.size());
    spread.width = 100 * quantile(widths, 50);
    spread.has_intervals = true;
  }
  return spread;
}

std::string line(const std::string& name, const std::vector<Error>& errors) {
  const Spread s = spread_of(errors);
  return fmt::format("| {} | {} | {:.1f} % | {:.1f} % | {:+.1f} % |", name, errors.size(), s.median,
                     s.p90, s.bias) +
         (s.has_intervals ? fmt::format(" {:.0f} % | {:.1f} % |", s.covered, s.width) : " | |") +
         "\n";
}

using Group = std::function<std::string(const Error&)>;

// Without those for which the group has no name.
std::map<std::string, std::vector<Error>> grouped(const std::vector<Error>& errors,
                                                  const Group& group) {
  std::map<std::string, std::vector<Error>> groups;
  for (const Error& error : errors) {
    if (const std::string name = group(error); !name.empty()) {
      groups[name].push_back(error);
    }
  }
  return groups;
}

std::string table(const std::string& title, const std::vector<Error>& errors, const Group& group) {
  std::string text = "\n## " + title +
                     "\n\n| group | values | median of abs. error | p90 | median error | covered | "
                     "median half-width |\n|---|---:|---:|---:|---:|---:|---:|\n";
  for (const auto& [name, members] : grouped(errors, group)) {
    text += line(name, members);
  }
  return text;
}

std::string harness_metric(const Error& error) {
  switch (error.scored->row.harness) {
    case Harness::serving:
      return "serving " + error.metric;
    case Harness::offline:
      return "maximum load " + error.metric;
    case Harness::mlperf_offline:
      return "MLPerf Offline " + error.metric;
    case Harness::fixed_batch:
      break;
  }
  return "fixed batch " + error.metric;
}

std::string pair_of(const LedgerRow& row) {
  return find_model(row.model) + " on " + find_gpu(row.gpu)->name;
}

// What the project asks of the dense rows.
struct Target {
  std::string_view name;
  double median, p90;  // percent; 0: none asked
  bool (*applies)(const Error& error);
};
constexpr std::array kTargets{
    Target{"serving, time per token", 6, 16, [](const Error& e) { return e.metric == "tpot_ms"; }},
    Target{"serving, TTFT", 14, 40, [](const Error& e) { return e.metric == "ttft_ms"; }},
    Target{"maximum load, TensorRT-LLM 0.20 and later, one stage", 6, 0,
           [](const Error& e) {
             return e.scored->row.harness == Harness::offline && e.scored->row.version != "0.14" &&
                    e.scored->row.pipeline == 1;
           }},
    Target{"maximum load, TensorRT-LLM 0.14", 10, 0,
           [](const Error& e) {
             return e.metric == "output_tok_s" && e.scored->row.version == "0.14";
           }},
    Target{"Falcon-180B on 8x L40S, static batch, simulated PCIe", 25, 0,
           [](const Error& e) {
             return find_model(e.scored->row.model) == "falcon-180b" &&
                    find_gpu(e.scored->row.gpu)->name == "l40s";
           }},
    Target{"maximum load, pipelines", 15, 0,
           [](const Error& e) {
             return e.scored->row.harness == Harness::offline && e.scored->row.pipeline > 1;
           }},
    Target{"MLPerf Offline", 12, 0,
           [](const Error& e) { return e.scored->row.harness == Harness::mlperf_offline; }}};

std::string against_targets(const std::vector<Error>& errors) {
  std::string text =
      "\n## Against the targets\n\n| rows | median | asked | p90 | asked | "
      "|\n|---|---:|---:|---:|---:|"
      "---|\n";
  for (const Target& target : kTargets) {
    std::vector<double> absolute;
    for (const Error& error : errors) {
      if (target.applies(error)) {
        absolute.push_back(100 * std::abs(error.relative()));
      }
    }
    if (absolute.empty()) {
      continue;
    }
    const double median = quantile(absolute, 50), p90 = quantile(absolute, 90);
    const bool met = median <= target.median && (target.p90 == 0 || p90 <= target.p90);
    text += fmt::format("| {} | {:.1f} % | {:.0f} % | {:.1f} % | {} | {} |\n", target.name, median,
                        target.median, p90,
                        target.p90 > 0 ? fmt::format("{:.0f} %", target.p90) : std::string(),
                        met ? "met" : "missed");
  }
  return text;
}

std::string exclusions(const std::vector<ScoredRow>& rows) {
  std::map<std::string, int> counts;
  int scored = 0, eligible = 0;
  for (const ScoredRow& row : rows) {
    eligible += row.row.eligible ? 1 : 0;
    if (!row.row.excluded.empty()) {
      ++counts[row.row.excluded];
    } else if (!row.prediction.refused.empty()) {
      ++counts["refused by the simulator: does not fit the memory or the layout"];
    } else {
      ++scored;
    }
  }
  std::string text = fmt::format(
      "{} rows read. Of the {} with a dense model on a GPU with tables, its own or a sister's, {} "
      "are scored, {:.0f} %.\n\n"
      "| left out because | rows |\n|---|---:|\n",
      rows.size(), eligible, scored, 100.0 * scored / std::max(1, eligible));
  for (const auto& [rule, count] : counts) {
    text += fmt::format("| {} | {} |\n", rule, count);
  }
  return text;
}

std::string halves(const std::vector<Error>& errors) {
  struct Half {
    std::vector<double> fitted, unseen;
  };
  std::map<std::string, Half> metrics;
  for (const Error& error : errors) {
    const auto predicted = error.scored->half_fit.value.find(error.metric);
    if (predicted == error.scored->half_fit.value.end() ||
        error.scored->row.harness == Harness::mlperf_offline) {  // in neither half's fit
      continue;
    }
    Half& half = metrics[harness_metric(error)];
    (half_of(error.scored->row) == 'A' ? half.fitted : half.unseen)
        .push_back(std::abs(predicted->second / error.measured - 1));
  }
  std::string text =
      "\n## Constants fitted on half of the (model, GPU) pairs\n\n| | values fitted on | median | "
      "p90 | values not seen | median | p90 | ratio of medians "
      "|\n|---|---:|---:|---:|---:|---:|---:|"
      "---:|\n";
  for (const auto& [name, half] : metrics) {
    if (half.fitted.empty() || half.unseen.empty()) {
      continue;
    }
    const double seen = quantile(half.fitted, 50), unseen = quantile(half.unseen, 50);
    text += fmt::format("| {} | {} | {:.1f} % | {:.1f} % | {} | {:.1f} % | {:.1f} % | {:.2f} |\n",
                        name, half.fitted.size(), 100 * seen, 100 * quantile(half.fitted, 90),
                        half.unseen.size(), 100 * unseen, 100 * quantile(half.unseen, 90),
                        unseen / seen);
  }
  return text;
}

// What the columns of the published tables are called.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kUnits{
    {{"ttft_ms", "time to first token, ms"},
     {"tpot_ms", "time per output token, ms"},
     {"output_tok_s", "output tokens per second"},
     {"latency_s", "latency, s"}}};

page::Chart scatter(const std::string& metric, const std::vector<Error>& errors,
                    const std::string& by, const Group& group) {
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                 [&](const auto& u) { return u.first == errors.front().metric; });
  const std::string what(unit == kUnits.end() ? std::string_view(metric) : unit->second);
  page::Chart chart;
  chart.kind = page::Chart::Kind::scatter;
  chart.title = fmt::format("{}, by {}", metric, by);
  chart.description = fmt::format(
      "{} predictions with their 90 % intervals against the measured values; on the "
      "line both are equal.",
      errors.size());
  chart.x = {"Measured " + what, true};
  chart.y = {"Predicted " + what, true};
  double low = errors.front().measured, high = low;
  for (const auto& [name, members] : grouped(errors, group)) {
    page::Series series{name, {}};
    for (const Error& e : members) {
      const LedgerRow& row = e.scored->row;
      series.points.push_back({e.measured, e.predicted,
                               e.has_interval ? e.interval.low : page::kNone,
                               e.has_interval ? e.interval.high : page::kNone,
                               fmt::format("{} {} {} in {} out, {} at once", find_model(row.model),
                                           find_gpu(row.gpu)->name, row.input, row.output,
                                           std::max(row.concurrency, row.batch_size))});
      low = std::min(low, e.measured);
      high = std::max(high, e.measured);
    }
    chart.series.push_back(std::move(series));
  }
  chart.series.push_back({"equal", {{low, low}, {high, high}}, true});
  return chart;
}

std::string engine_of(const Error& error) { return std::string(engine_name(error.scored->row)); }
std::string gpu_of(const Error& error) {
  return std::string(find_gpu(error.scored->row.gpu)->name);
}

page::Table spread_table(const std::string& title, const std::vector<Error>& errors,
                         const Group& group) {
  page::Table table;
  table.caption = title;
  table.columns = {{"Group", false},    {"Values"},     {"Median of abs. error, %"}, {"p90, %"},
                   {"Median error, %"}, {"Covered, %"}, {"Median half-width, %"}};
  for (const auto& [name, members] : grouped(errors, group)) {
    const Spread s = spread_of(members);
    table.rows.push_back({name, fmt::format("{}", members.size()), fmt::format("{:.1f}", s.median),
                          fmt::format("{:.1f}", s.p90), fmt::format("{:+.1f}", s.bias),
                          s.has_intervals ? fmt::format("{:.0f}", s.covered) : "",
                          s.has_intervals ? fmt::format("{:.1f}", s.width) : ""});
  }
  return table;
}

}  // namespace

page::Document ledger_page(const std::vector<ScoredRow>& rows) {
  const std::vector<Error> errors = collect(rows);
  page::Document document;
  document.title = "Accuracy against published results";
  document.subtitle = "Error is (predicted - measured) / measured";
  document.facts = {{"Rows read", fmt::format("{}", rows.size())},
                    {"Values scored", fmt::format("{}", errors.size())},
                    {"Rules", "calibrate/ledger/rules.cpp"}};
  document.warnings = {
      "The host times of each engine are fitted on these results: read the levels as in-sample."};
  page::Section summary{"Summary", {}};
  if (errors.empty()) {
    summary.items.emplace_back(page::Text{"No row is scored."});
  }
  summary.items.emplace_back(spread_table("By metric", errors, harness_metric));
  document.sections.push_back(std::move(summary));
  for (const auto& [metric, members] : grouped(errors, harness_metric)) {
    document.sections.push_back(
        {metric,
         {scatter(metric, members, "engine", engine_of),
          spread_table("By engine", members, engine_of), scatter(metric, members, "GPU", gpu_of),
          spread_table("By GPU", members, gpu_of)}});
  }
  return document;
}

std::string ledger_markdown(const std::vector<ScoredRow>& rows) {
  const std::vector<Error> errors = collect(rows);
  std::string text =
      "# Accuracy against published results\n\n"
      "Error is (predicted - measured) / measured. Step times come from imported operator tables "
      "of the same GPU and the nearest engine (ai-dynamo/aiconfigurator), never from the results "
      "scored here; vLLM on the H200, which has no tables, takes TensorRT-LLM's times the ratio of "
      "the two engines on the H100. Three GPUs have no tables: the A100 with 40 GB and that on "
      "PCIe take the A100's, the GH200 (of 96 GB, as the source does not say) the H100's, each "
      "call changed by what the datasheets say that the other memory adds or saves. The host times "
      "of each engine under each kind of load, and the spread they leave "
      "(calibrate/ledger/constants.csv), are fitted on these results, so read the levels as "
      "in-sample; the last table tells how constants fitted on half of the (model, GPU) pairs do "
      "on the other half. The spreads of the operator tables were narrowed once after seeing a "
      "median half-width of 26 %.\n\n"
      "What the servers and the load generators do is taken from their own scripts: InferenceMAX "
      "(rows of 2026-04-06: ten requests a client, lengths of 0.8 to 1 x nominal, budgets of 8192 "
      "tokens for vLLM and 16384 for TensorRT-LLM, whose prompts wait up to 20 steps for a fuller "
      "batch at 1024 in, 1024 out on fewer than eight GPUs) and aiconfigurator (ten requests a "
      "client, fixed lengths, a budget of concurrency + input + 1500 tokens). They were looked up "
      "after earlier, guessed values had left a tail in TTFT. Rows flagged osl_dependent count for "
      "the time per token, not for TTFT. Rules, with their sources: calibrate/ledger/rules.cpp.\n\n"
      "Argonne's A100 are taken for those of Polaris, which the source names: 40 GB each. The "
      "collection files them as 80 GB; what gave them away, after their errors had been seen, are "
      "latencies that double where a cache outgrows 40 GB (calibrate/ledger/row.cpp).\n\n"
      "Of MLPerf the Offline rows are scored, with the lengths of its data sets and NVIDIA's "
      "settings (calibrate/ledger/mlperf.cpp); which rows was fixed before their first error was "
      "computed, and the constants are fitted without them. The first median was 13.5 %. It showed "
      "decode attention beyond the tables' largest batch x length too slow. What attention costs "
      "there, and in layouts without a table, is chosen on the operator tables alone, by "
      "predicting some of their calls from the others (cost-models.md). The decode kernels of "
      "TensorRT-LLM 0.9 read keys and values once a query head unless eight heads share them: "
      "looked up in its code after Falcon-180B's errors had been seen, at an L2 rate of general "
      "knowledge.\n\n";
  text += exclusions(rows);
  text += against_targets(errors);
  text += table("By metric", errors, harness_metric);
  text += table("Together", errors, [](const Error&) { return std::string("all values"); });
  text += table("By engine", errors, [](const Error& e) {
    const LedgerRow& row = e.scored->row;
    const bool at_limit = row.harness == Harness::offline || row.harness == Harness::mlperf_offline;
    const std::string version =
        at_limit ? " " + row.version + (row.pipeline > 1 ? " pipeline" : "") : "";
    return harness_metric(e) + ", " + engine_name(row) + version;
  });
  text += table("By GPU", errors, [](const Error& e) {
    return harness_metric(e) + ", " + find_gpu(e.scored->row.gpu)->name;
  });
  text += table("By model", errors, [](const Error& e) {
    return harness_metric(e) + ", " + find_model(e.scored->row.model);
  });
  text += table("By model and GPU, all metrics but TTFT", errors, [](const Error& e) {
    return e.metric == "ttft_ms" ? std::string() : pair_of(e.scored->row);
  });
  text += table("Pipelines", errors, [](const Error& e) {
    const LedgerRow& row = e.scored->row;
    return row.pipeline > 1 ? fmt::format("{}, {} stages", pair_of(row), row.pipeline)
                            : std::string();
  });
  text += halves(errors);
  return text;
}

std::string ledger_csv(const std::vector<ScoredRow>& rows) {
  std::string text =
      "file,row,gpu,model,engine,version,weights,tensor,pipeline,concurrency,requests,input,output,"
      "metric,measured,predicted,error,low,high,covered,extrapolated,"
      "steps,prefill_steps,decode_tokens,end_s";
  for (const std::string_view family : kOpFamilyNames) {
    text += fmt::format(",{}_s", family);
  }
  text += "\n";
  for (const Error& e : collect(rows)) {
    const LedgerRow& r = e.scored->row;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.6g},{:.6g},{:.4f},", r.file,
                        r.id, r.gpu, r.model, r.engine, r.version, r.weights, r.tensor, r.pipeline,
                        r.concurrency, r.requests, r.input, r.output, e.metric, e.measured,
                        e.predicted, e.relative());
    const LedgerPrediction& p = e.scored->prediction;
    text += fmt::format("{:.6g},{:.6g},{},{},{},{},{},{:.6g}", e.interval.low, e.interval.high,
                        e.has_interval ? (e.covered() ? "yes" : "no") : "",
                        p.extrapolated ? "yes" : "no", p.steps, p.prefill_steps, p.decode_tokens,
                        p.end_s);
    for (const Time time : p.time.by_family) {
      text += fmt::format(",{:.6g}", to_seconds(time));
    }
    text += "\n";
  }
  return text;
}

}  // namespace foretoken::calibrate
