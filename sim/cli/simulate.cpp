#include <cstdio>
#include <memory>

#include "reports/run_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/options.h"
#include "sim/cli/progress.h"
#include "sim/config/output.h"

namespace foretoken::cli {
namespace {

struct SimulateOptions {
  ScenarioOptions scenario;
  RunOptions run;
  std::string json, csv;
};

int run_simulate(const SimulateOptions& options) {
  const auto [simulation, notes] = load_simulation(options.scenario);
  RunOptions run = options.run;
  Result result;
  {
    Progress requests("requests"), replications("replications");
    run.requests = [&](std::int64_t done, std::int64_t total) { requests.update(done, total); };
    run.progress = [&](int done, int total) { replications.update(done, total); };
    result = simulate(simulation, run);
  }
  auto warnings = reports::warnings(simulation, result);
  warnings.insert(warnings.begin(), notes.begin(), notes.end());
  // A document on standard output stands there alone, so that it can be piped.
  const bool quiet = options.json == "-" || options.csv == "-";
  if (!quiet) {
    const std::string text = reports::text(simulation, result, warnings);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, reports::json(simulation, result, warnings).dump(2) + "\n");
  }
  if (!options.csv.empty()) {
    config::write_output(options.csv, reports::csv(result.record));
  }
  return 0;
}

}  // namespace

void add_simulate(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("simulate", "Predict TTFT, time per token and throughput");
  const auto options = std::make_shared<SimulateOptions>();
  add_scenario_options(*command, options->scenario);
  add_json_option(*command, options->json);
  command->add_option("--csv", options->csv, "Write one line per request (- for standard output)")
      ->type_name("FILE");
  add_run_options(*command, options->run.replications, options->run.threads);
  command->add_flag("--exact", options->run.exact,
                    "Simulate every operator of every layer; remember nothing");
  command->callback([options, &action] { action = [options] { return run_simulate(*options); }; });
}

}  // namespace foretoken::cli
