#include <cstdio>
#include <memory>

#include "reports/explain_report.h"
#include "reports/run_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
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
    Progress progress("replications");
    run.progress = [&](int done, int total) { progress.update(done, total); };
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

struct ExplainOptions {
  ScenarioOptions scenario;
  std::string json;
};

int run_explain(const ExplainOptions& options) {
  const auto [simulation, notes] = load_simulation(options.scenario);
  RunOptions run;
  run.replications = 0;
  const reports::Explanation explanation = reports::explain(simulation, simulate(simulation, run));
  if (options.json != "-") {
    std::string text;
    for (const std::string& note : notes) {
      text += reports::wrap("warning: " + note, 9);
    }
    text += reports::text(simulation, explanation);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, reports::json(simulation, explanation).dump(2) + "\n");
  }
  return 0;
}

}  // namespace

void add_simulate(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("simulate", "Predict TTFT, time per token and throughput");
  const auto options = std::make_shared<SimulateOptions>();
  add_scenario_options(*command, options->scenario);
  command->add_option("--json", options->json, "Write the result as JSON (- for standard output)")
      ->type_name("FILE");
  command->add_option("--csv", options->csv, "Write one line per request (- for standard output)")
      ->type_name("FILE");
  command
      ->add_option("--replications", options->run.replications,
                   "Runs with drawn costs, for the intervals; 0: point estimate only")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  command->add_option("--threads", options->run.threads, "Threads; 0: all cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag("--exact", options->run.exact,
                    "Simulate every operator of every layer; remember nothing");
  command->callback([options, &action] { action = [options] { return run_simulate(*options); }; });
}

void add_explain(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("explain", "Where the TTFT and the time per token go, term by term");
  const auto options = std::make_shared<ExplainOptions>();
  add_scenario_options(*command, options->scenario);
  command->add_option("--json", options->json, "Write the terms as JSON (- for standard output)")
      ->type_name("FILE");
  command->callback([options, &action] { action = [options] { return run_explain(*options); }; });
}

}  // namespace foretoken::cli
