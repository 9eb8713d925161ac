#include "calibrate/runtime/grid_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "calibrate/fit/search.h"
#include "calibrate/runtime/quiet.h"
#include "reports/run_report.h"

namespace foretoken::runtime {
namespace {

using calibrate::quantile;
using reports::cell;

constexpr const char* kTtft = "mean_ttft_ms";
constexpr const char* kTpot = "mean_tpot_ms";
constexpr int kQuietRuns = 5;

struct Compared {
  double predicted = 0, low = 0, high = 0, measured = 0;
  double error() const { return predicted / measured - 1; }
  bool covered() const { return low <= measured && measured <= high; }
  double half_width() const { return (high - low) / 2 / predicted; }
};

std::optional<Compared> compared(const nlohmann::json& result, const char* metric) {
  if (result.is_null() || !result.contains("metrics") || !result["metrics"].contains(metric)) {
    return std::nullopt;
  }
  const auto& m = result["metrics"][metric];
  return Compared{m["predicted"], m["interval"]["low"], m["interval"]["high"], m["measured"]};
}

// With what was predicted before the pace of the runs was known; the interval goes along.
Compared at_first(Compared c, const nlohmann::json& result, const char* metric) {
  const double factor = result["metrics"][metric]["predicted_at_first"].get<double>() / c.predicted;
  c.predicted *= factor;
  c.low *= factor;
  c.high *= factor;
  return c;
}

int quiet_runs(const nlohmann::json& result) {
  return result.is_null() ? 0 : result["quiet_runs"].get<int>();
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string signed_percent(double share) { return fmt::format("{:+.1f} %", 100 * share); }

// One row of the summary: a metric over some cases.
std::string summary_row(const std::string& title, const std::vector<Compared>& list) {
  if (list.empty()) {
    return fmt::format("| {} | 0 | | | | | |\n", title);
  }
  std::vector<double> errors, widths, biases;
  double covered = 0;
  for (const Compared& c : list) {
    errors.push_back(std::abs(c.error()));
    biases.push_back(c.error());
    widths.push_back(c.half_width());
    covered += c.covered() ? 1 : 0;
  }
  return fmt::format(
      "| {} | {} | {} | {} | {} | {} | {} |\n", title, list.size(), percent(quantile(errors, 0.5)),
      percent(quantile(errors, 1)), signed_percent(quantile(biases, 0.5)),
      percent(covered / static_cast<double>(list.size())), percent(quantile(widths, 0.5)));
}

std::string summary(const GridPage& page) {
  std::string out =
      "| metric | cases | median of errors | worst | median, signed | covered | half-width |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n";
  const auto add = [&](const std::string& title, const char* metric, bool quiet_only, int tensor,
                       bool paced = true) {
    std::vector<Compared> list;
    for (const GridPage::Row& row : page.rows) {
      const bool wanted = row.what.purpose == "drawn" &&
                          (!quiet_only || quiet_runs(row.result) >= kQuietRuns) &&
                          (tensor == 0 || row.what.tensor == tensor);
      const auto c = compared(row.result, metric);
      if (wanted && c) {
        list.push_back(paced ? *c : at_first(*c, row.result, metric));
      }
    }
    out += summary_row(title, list);
  };
  add("TTFT, scored", kTtft, true, 0);
  add("time per token, scored", kTpot, true, 0);
  add("TTFT, scored, one rank", kTtft, true, 1);
  add("TTFT, scored, two ranks", kTtft, true, 2);
  add("time per token, scored, one rank", kTpot, true, 1);
  add("time per token, scored, two ranks", kTpot, true, 2);
  add("TTFT, scored, pace not regarded", kTtft, true, 0, false);
  add("time per token, scored, pace not regarded", kTpot, true, 0, false);
  add("TTFT, all that ran", kTtft, false, 0);
  add("time per token, all that ran", kTpot, false, 0);
  return out;
}

std::string case_row(const GridPage::Row& row) {
  const auto ttft = compared(row.result, kTtft), tpot = compared(row.result, kTpot);
  const auto cells = [](const std::optional<Compared>& c) {
    return c ? fmt::format("{} | {} | {}{}", cell(c->predicted), cell(c->measured),
                           signed_percent(c->error()), c->covered() ? "" : " *")
             : std::string("| |");
  };
  const std::string runs = row.result.is_null() ? "not run"
                                                : fmt::format("{}/{}", quiet_runs(row.result),
                                                              row.result["runs"].get<int>());
  const std::string pace =
      row.result.is_null() ? "" : fmt::format("{:.2f}", row.result["pace"].get<double>());
  return fmt::format("| {} | {} | {} | {} | {} |\n", row.what.name(), runs, pace, cells(ttft),
                     cells(tpot));
}

std::string case_table(const GridPage& page, bool drawn) {
  std::string out =
      "| case | quiet runs | pace | TTFT ms, predicted | measured | error | per token ms, "
      "predicted "
      "| measured | error |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const GridPage::Row& row : page.rows) {
    if ((row.what.purpose == "drawn") == drawn) {
      out += case_row(row);
    }
  }
  return out;
}

std::string families(const GridPage& page) {
  struct Miss {
    const GridPage::Row* row;
    double error;
  };
  std::vector<Miss> misses;
  for (const GridPage::Row& row : page.rows) {
    const auto ttft = compared(row.result, kTtft), tpot = compared(row.result, kTpot);
    if (ttft && tpot) {
      misses.push_back({&row, std::max(std::abs(ttft->error()), std::abs(tpot->error()))});
    }
  }
  std::sort(misses.begin(), misses.end(),
            [](const Miss& a, const Miss& b) { return a.error > b.error; });
  misses.resize(std::min<std::size_t>(misses.size(), 6));
  std::string out =
      "| case | steps | operators | predicted ms | measured ms |\n|---|---|---|---:|---:|\n";
  for (const Miss& miss : misses) {
    for (const auto& row : miss.row->result["families"]) {
      out += fmt::format("| {} | {} | {} | {:.3f} | {:.3f} |\n", miss.row->what.name(),
                         row["phase"].get<std::string>(), row["family"].get<std::string>(),
                         row["predicted_ms"].get<double>(), row["measured_ms"].get<double>());
    }
  }
  return out;
}

// Each pair of formats whose measured TTFT differs by more than 5 %: is the order predicted?
std::string order(const GridPage& page) {
  int pairs = 0, right = 0;
  for (const GridPage::Row& a : page.rows) {
    for (const GridPage::Row& b : page.rows) {
      const bool same = a.what.purpose == "order of formats" && b.what.purpose == a.what.purpose &&
                        a.what.model == b.what.model;
      const auto x = compared(a.result, kTtft), y = compared(b.result, kTtft);
      if (same && x && y && x->measured * 1.05 < y->measured) {
        ++pairs;
        right += x->predicted < y->predicted ? 1 : 0;
      }
    }
  }
  return fmt::format(
      "Of {} pairs of formats whose measured TTFT differs by more than 5 %, {} are predicted in "
      "the "
      "right order.\n",
      pairs, right);
}

std::string gains(const GridPage& page, const std::string& purpose) {
  std::optional<Compared> raw;
  for (const GridPage::Row& row : page.rows) {
    if (row.what.purpose == purpose && row.what.all_reduce == "bf16") {
      raw = compared(row.result, kTtft);
    }
  }
  std::string out;
  for (const GridPage::Row& row : page.rows) {
    const std::string& format = row.what.all_reduce;
    if (row.what.purpose != purpose || format == "bf16") {
      continue;
    }
    if (const auto packed = compared(row.result, kTtft); raw && packed) {
      const double measured = raw->measured / packed->measured;
      const double predicted = raw->predicted / packed->predicted;
      out += fmt::format("| {} | {} | {:.3f} | {:.3f} | {} |\n", purpose, format, measured,
                         predicted, signed_percent(predicted / measured - 1));
    }
  }
  return out;
}

// Share of the steps with prompts that collectives take, measured.
std::string communication_share(const GridPage& page) {
  for (const GridPage::Row& row : page.rows) {
    if (row.what.purpose == "slow wire" && row.what.all_reduce == "bf16" && !row.result.is_null()) {
      double all = 0, collective = 0;
      for (const auto& family : row.result["families"]) {
        if (family["phase"] == "steps with prompts") {
          all += family["measured_ms"].get<double>();
          collective += family["family"] == "collective" ? family["measured_ms"].get<double>() : 0;
        }
      }
      return fmt::format("On the slow wire communication is {} of the bf16 TTFT.\n\n",
                         percent(collective / all));
    }
  }
  return "";
}

std::string streams(const GridPage& page) {
  std::string out =
      "| load | metric | predicted | 90 % interval | measured | error |\n"
      "|---|---|---:|---:|---:|---:|\n";
  for (const auto& [load, result] : page.streams) {
    for (const char* metric :
         {"mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "output_throughput"}) {
      if (const auto c = compared(result, metric)) {
        out += fmt::format("| {} % | {} | {} | {} .. {} | {} | {} |\n", load, metric,
                           cell(c->predicted), cell(c->low), cell(c->high), cell(c->measured),
                           signed_percent(c->error()));
      }
    }
  }
  return out;
}

std::string wires(const GridPage& page) {
  std::string out =
      "| wire | latency us | rate MB/s | bucket KiB | copying MB/s |\n"
      "|---|---:|---:|---:|---:|\n";
  for (const Profile& wire : page.wires) {
    const double rate = wire.value_or("wire.bandwidth", 0);
    out += fmt::format(
        "| {} | {:.1f} | {} | {} | {:.0f} |\n", wire.name, 1e6 * wire.value_or("wire.latency", 0),
        rate > 0 ? fmt::format("{:.1f}", rate / 1e6) : "-",
        rate > 0 ? fmt::format("{:.0f}", wire.value_or("wire.bucket", 0) / 1024) : "-",
        wire.value_or("wire.copy_bandwidth", 0) / 1e6);
  }
  return out;
}

std::string where(const GridPage& page) {
  for (const GridPage::Row& row : page.rows) {
    if (!row.result.is_null()) {
      return row.result["machine"].get<std::string>();
    }
  }
  return "nothing has run";
}

}  // namespace

std::string grid_page(const GridPage& page) {
  std::string out = "# Predicted and executed on CPU cores\n\n";
  out += fmt::format(
      "Written by `build/release/verify_grid results/grid --seed {} --page "
      "reports/published/verify-cpu.md`. {}. Scenario: `scenarios/verify.yaml` with the case's "
      "overrides.\n\n"
      "Every number is predicted from a profile of this machine before the case runs. The profile "
      "is "
      "made of operators timed in other models (`calibrate/runtime/engine_calibration.h`): none of "
      "llama-1b's matrix shapes is among them. Two ranks are two processes, one core each; a paced "
      "wire is a pair of network namespaces, described by the four numbers below, measured on it. "
      "A case's tokens are those of its prefill step in all, split evenly over its batch; the time "
      "per token is that of {} decode steps. Every run waits for a quiet moment of its cores. It "
      "counts as quiet when a sentinel before and after it, on all ranks' cores at once, moved "
      "less "
      "than 3 %, was within {:.0f} % of its fast readings, less than 1 % of the processors' "
      "time was stolen, and the time of operators beyond the lower quartile of the same operator "
      "in the step's other layers was at most {:.0f} %; a case is scored with {} quiet runs, the "
      "others are listed. A star: outside the predicted 90 % interval. A host may change its "
      "cores' "
      "clock within minutes. Predictions are stated at the pace of the runs: what the "
      "sentinel took over what it took during the calibration (column); how far off they are "
      "without that is in the summary.\n\n",
      page.seed, where(page), GridCase{}.output - 1, 100 * kQuietLevel, 100 * kQuietUneven,
      kQuietRuns);
  out += "## Summary\n\n" + summary(page);
  out += "\n## Order of formats\n\n" + order(page);
  out += "\n## What compressing the all-reduce gains\n\n" + communication_share(page);
  out += "| wire | format | TTFT gain, measured | predicted | error |\n|---|---|---:|---:|---:|\n" +
         gains(page, "slow wire") + gains(page, "fast wire");
  out +=
      "\n## Served streams\n\nPoisson arrivals of 200 requests at a share of the predicted "
      "capacity; the median of up to three runs, quiet ones if there are any.\n\n" +
      streams(page);
  out += "\n## Wires\n\n" + wires(page);
  out += "\n## Drawn cases\n\n" + case_table(page, true);
  out += "\n## Chosen cases\n\n" + case_table(page, false);
  out += "\n## Where the largest misses come from\n\n" + families(page);
  return out;
}

}  // namespace foretoken::runtime
