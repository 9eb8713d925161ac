// ledger REFERENCE --out reports/published/accuracy.md: scores the simulator against published
// results.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <map>
#include <thread>

#include "calibrate/ledger/report.h"
#include "calibrate/ledger/rules.h"
#include "calibrate/ledger/tables.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

struct Options {
  std::string folder, out, csv, only;
  int replications = 6;
  int threads = 0;
};

void write(const std::string& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text << std::flush;
  if (!stream) {
    throw InputError(SourceMark{path, 0, 0}, "", "cannot write this file; check the folder");
  }
}

template <class Work>
void in_parallel(std::size_t count, int threads, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> workers;
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  for (int i = 0; i < (threads > 0 ? threads : cores); ++i) {
    workers.emplace_back([&] {
      for (std::size_t item = next++; item < count; item = next++) {
        work(item);
      }
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
}

int run(const Options& options) {
  std::vector<ScoredRow> rows;
  std::map<TableKey, std::shared_ptr<const CostModel>> costs;
  for (LedgerRow& row : read_rows(options.folder)) {
    exclude(row);
    if (!options.only.empty() && row.file.find(options.only) == std::string::npos) {
      continue;
    }
    if (row.excluded.empty()) {
      auto& cost = costs[table_key(row)];
      if (!cost) {
        cost = make_costs(options.folder, table_key(row), engine_constants(row));
      }
    }
    rows.push_back({std::move(row), {}});
  }
  in_parallel(rows.size(), options.threads, [&](std::size_t i) {
    ScoredRow& scored = rows[i];
    if (scored.row.excluded.empty()) {
      scored.prediction =
          predict(scored.row, costs.at(table_key(scored.row)), options.replications);
    }
  });
  const std::string text = ledger_markdown(rows);
  if (options.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    write(options.out, text);
  }
  if (!options.csv.empty()) {
    write(options.csv, ledger_csv(rows));
  }
  return 0;
}

}  // namespace
}  // namespace foretoken::calibrate

int main(int argc, char** argv) {
  using namespace foretoken::calibrate;
  CLI::App app{"Scores the simulator against published end-to-end results"};
  Options options;
  app.add_option("reference", options.folder, "Folder with ops/ and e2e/")->required();
  app.add_option("--out", options.out, "Markdown report; standard output without it");
  app.add_option("--csv", options.csv, "One line per row and metric");
  app.add_option("--only", options.only, "Only tables whose file name holds this");
  app.add_option("--replications", options.replications, "Runs with drawn costs a row");
  app.add_option("--threads", options.threads, "Threads; 0: all cores");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const foretoken::InputError& error) {
    fmt::print(stderr, "ledger: {}\n", error.what());
    return 2;
  }
}
