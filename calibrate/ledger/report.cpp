#include "calibrate/ledger/report.h"

#include <fmt/format.h>

#include <algorithm>
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

std::string line(const std::string& name, const std::vector<Error>& errors) {
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
  std::string text = fmt::format("| {} | {} | {:.1f} % | {:.1f} % | {:+.1f} % |", name,
                                 errors.size(), 100 * quantile(absolute, 50),
                                 100 * quantile(absolute, 90), 100 * quantile(signed_errors, 50));
  if (!widths.empty()) {
    text +=
        fmt::format(" {:.0f} % | {:.1f} % |", 100 * covered / static_cast<double>(widths.size()),
                    100 * quantile(widths, 50));
  } else {
    text += " | |";
  }
  return text + "\n";
}

using Group = std::function<std::string(const Error&)>;

std::string table(const std::string& title, const std::vector<Error>& errors, const Group& group) {
  std::map<std::string, std::vector<Error>> groups;
  for (const Error& error : errors) {
    if (const std::string name = group(error); !name.empty()) {
      groups[name].push_back(error);
    }
  }
  std::string text = "\n## " + title +
                     "\n\n| group | values | median of abs. error | p90 | median error | covered | "
                     "median half-width |\n|---|---:|---:|---:|---:|---:|---:|\n";
  for (const auto& [name, members] : groups) {
    text += line(name, members);
  }
  return text;
}

std::string engine_name(const LedgerRow& row) {
  return row.engine == "vLLM" ? "vllm" : row.engine == "TensorRT-LLM" ? "trtllm" : row.engine;
}

std::string harness_metric(const Error& error) {
  switch (error.scored->row.harness) {
    case Harness::serving:
      return "serving " + error.metric;
    case Harness::offline:
      return "maximum load " + error.metric;
    case Harness::fixed_batch:
      break;
  }
  return "fixed batch " + error.metric;
}

std::string pair_of(const LedgerRow& row) {
  return find_model(row.model) + " on " + find_gpu(row.gpu)->name;
}

std::string exclusions(const std::vector<ScoredRow>& rows) {
  std::map<std::string, int> counts;
  int scored = 0;
  for (const ScoredRow& row : rows) {
    if (!row.row.excluded.empty()) {
      ++counts[row.row.excluded];
    } else if (!row.prediction.refused.empty()) {
      ++counts["refused by the simulator: does not fit the memory or the layout"];
    } else {
      ++scored;
    }
  }
  std::string text = fmt::format(
      "{} rows read, {} scored.\n\n| left out because | rows |\n|---|---:|\n", rows.size(), scored);
  for (const auto& [rule, count] : counts) {
    text += fmt::format("| {} | {} |\n", rule, count);
  }
  return text;
}

}  // namespace

std::string ledger_markdown(const std::vector<ScoredRow>& rows) {
  const std::vector<Error> errors = collect(rows);
  std::string text =
      "# Accuracy against published results\n\n"
      "Error is (predicted - measured) / measured. Step times come from imported operator tables "
      "of "
      "the same GPU (ai-dynamo/aiconfigurator), never from the results scored here; host times are "
      "engine-wide constants chosen on these results, so read the levels as in-sample. Rows "
      "flagged "
      "osl_dependent count for the time per token, not for TTFT. Rules and constants: "
      "calibrate/ledger/rules.cpp.\n\n";
  text += exclusions(rows);
  text += table("By metric", errors, harness_metric);
  text += table("By engine", errors, [](const Error& e) {
    const LedgerRow& row = e.scored->row;
    const std::string version = row.harness == Harness::offline
                                    ? " " + row.version + (row.pipeline > 1 ? " pipeline" : "")
                                    : "";
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
  text += table("Two halves of the (model, GPU) pairs", errors, [](const Error& e) {
    const bool first = hash_text(pair_of(e.scored->row)) % 2 == 0;
    return harness_metric(e) + (first ? ", half A" : ", half B");
  });
  return text;
}

std::string ledger_csv(const std::vector<ScoredRow>& rows) {
  std::string text =
      "file,row,gpu,model,engine,version,weights,tensor,pipeline,concurrency,requests,input,output,"
      "metric,measured,predicted,error,low,high,covered,extrapolated\n";
  for (const Error& e : collect(rows)) {
    const LedgerRow& r = e.scored->row;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.6g},{:.6g},{:.4f},", r.file,
                        r.id, r.gpu, r.model, r.engine, r.version, r.weights, r.tensor, r.pipeline,
                        r.concurrency, r.requests, r.input, r.output, e.metric, e.measured,
                        e.predicted, e.relative());
    text += fmt::format("{:.6g},{:.6g},{},{}\n", e.interval.low, e.interval.high,
                        e.has_interval ? (e.covered() ? "yes" : "no") : "",
                        e.scored->prediction.extrapolated ? "yes" : "no");
  }
  return text;
}

}  // namespace foretoken::calibrate
