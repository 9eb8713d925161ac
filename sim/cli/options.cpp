#include "sim/cli/options.h"

namespace foretoken::cli {

void add_scenario_options(CLI::App& command, ScenarioOptions& options) {
  command.add_option("scenario", options.file, "Scenario file (YAML)")
      ->required()
      ->type_name("SCENARIO");
  command
      .add_option(
          "--set", options.overrides,
          "Override one value, such as --set workload.arrivals.poisson=9/s; may be repeated")
      ->take_all()
      ->expected(1)
      ->type_name("KEY=VALUE");
  command.add_option("--seed", options.seed, "Seed of the workload, instead of the scenario's")
      ->type_name("N");
}

void add_run_options(CLI::App& command, int& replications, int& threads) {
  command
      .add_option("--replications", replications,
                  "Runs with drawn costs, for the intervals; 0: point estimate only")
      ->check(CLI::Range(0, 100000))
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--threads", threads, "Threads; 0: all cores")
      ->check(CLI::Range(0, 1024))
      ->type_name("N")
      ->capture_default_str();
}

void add_json_option(CLI::App& command, std::string& path) {
  command.add_option("--json", path, "Write the result as JSON (- for standard output)")
      ->type_name("FILE");
}

}  // namespace foretoken::cli
