// ledger REFERENCE --out reports/published/accuracy.md: scores the simulator against published
// results. --fit FILE: fits the engine-wide constants on them first.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "calibrate/ledger/fit.h"
#include "calibrate/ledger/report.h"
#include "calibrate/ledger/rules.h"
#include "calibrate/ledger/tables.h"
#include "sim/config/output.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

struct Options {
  std::string folder, out, csv, html, only, fit;
  std::string constants = "calibrate/ledger/constants.csv";
  int replications = 3;
  int threads = 0;
};

struct Ledger {
  std::vector<ScoredRow> rows;
  TableCosts costs;
};

Ledger read_ledger(const Options& options) {
  Ledger ledger;
  for (LedgerRow& row : read_rows(options.folder)) {
    if (!options.only.empty() && row.file.find(options.only) == std::string::npos) {
      continue;
    }
    exclude(row);
    if (row.excluded.empty()) {
      auto& cost = ledger.costs[table_key(row)];
      if (!cost) {
        cost = make_costs(options.folder, table_key(row));
      }
    }
    ledger.rows.push_back({std::move(row), {}, {}});
  }
  return ledger;
}

const ConstantSet& named(const std::map<std::string, ConstantSet>& sets, const char* name,
                         const std::string& path) {
  const auto set = sets.find(name);
  if (set == sets.end()) {
    throw InputError(SourceMark{path, 0, 0}, "",
                     fmt::format("no rows with fitted_on \"{}\"; run with --fit {}", name, path));
  }
  return set->second;
}

int fit(const Options& options) {
  const Ledger ledger = read_ledger(options);
  const auto before = read_constants(options.constants);
  std::map<std::string, ConstantSet> sets;
  for (const char half : {'*', 'A'}) {
    std::vector<LedgerRow> rows;
    for (const ScoredRow& scored : ledger.rows) {
      // MLPerf's rows are predicted with constants that have not seen them.
      if (scored.row.excluded.empty() && scored.row.harness != Harness::mlperf_offline &&
          (half == '*' || half_of(scored.row) == half)) {
        rows.push_back(scored.row);
      }
    }
    const std::string name = half == '*' ? "all" : fmt::format("half {}", half);
    fmt::print(stderr, "fitting on {}: {} rows\n", name, rows.size());
    // Each from its own earlier fit: the half's constants must know nothing of the other half.
    const ConstantSet& start = named(before, name.c_str(), options.constants);
    sets[name] = fit_constants(rows, ledger.costs, start, options.threads);
  }
  config::write_output(options.fit, constants_csv(sets));
  return 0;
}

int score(const Options& options) {
  Ledger ledger = read_ledger(options);
  const auto sets = read_constants(options.constants);
  const ConstantSet& all = named(sets, "all", options.constants);
  const ConstantSet& half = named(sets, "half A", options.constants);
  in_parallel(ledger.rows.size(), options.threads, [&](std::size_t i) {
    ScoredRow& scored = ledger.rows[i];
    if (scored.row.excluded.empty()) {
      const CostModel& tables = *ledger.costs.at(table_key(scored.row));
      const std::string group = constant_group(scored.row);
      scored.prediction = predict(scored.row, tables, all.at(group), options.replications);
      if (i % 2 == 0) {  // every second row tells as much, in half the time
        scored.half_fit = predict(scored.row, tables, half.at(group), 0);
      }
    }
  });
  const std::string text = ledger_markdown(ledger.rows);
  if (options.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    config::write_output(options.out, text);
  }
  if (!options.csv.empty()) {
    config::write_output(options.csv, ledger_csv(ledger.rows));
  }
  if (!options.html.empty()) {
    config::write_output(options.html, page::html(ledger_page(ledger.rows)));
    if (const std::string missing = page::missing_library(); !missing.empty()) {
      fmt::print(stderr, "note: {}: {}\n", options.html, missing);
    }
  }
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{"Scores the simulator against published end-to-end results"};
  Options options;
  app.add_option("reference", options.folder, "Folder with ops/ and e2e/")->required();
  app.add_option("--out", options.out, "Markdown report; standard output without it");
  app.add_option("--csv", options.csv, "One line per row and metric");
  app.add_option("--html", options.html, "Page of charts: predicted against measured");
  app.add_option("--only", options.only, "Only tables whose file name holds this");
  app.add_option("--constants", options.constants, "Engine-wide constants")->capture_default_str();
  app.add_option("--fit", options.fit, "Fit the constants, starting from --constants, into this");
  app.add_option("--replications", options.replications, "Runs with drawn costs a row");
  app.add_option("--threads", options.threads, "Threads; 0: all cores");
  CLI11_PARSE(app, argc, argv);
  return options.fit.empty() ? score(options) : fit(options);
}

void complain(const char* what) {
  std::fputs("ledger: ", stderr);
  std::fputs(what, stderr);
  std::fputs("\n", stderr);
}

}  // namespace
}  // namespace foretoken::calibrate

int main(int argc, char** argv) {
  try {
    return foretoken::calibrate::run(argc, argv);
  } catch (const foretoken::InputError& error) {
    foretoken::calibrate::complain(error.what());
    return 2;
  } catch (const std::exception& error) {
    foretoken::calibrate::complain(error.what());
    return 1;
  }
}
