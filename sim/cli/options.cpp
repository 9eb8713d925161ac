#include "sim/cli/options.h"

#include <fmt/format.h>

#include <cstdio>

#include "sim/config/output.h"

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

void add_html_option(CLI::App& command, std::string& path) {
  command
      .add_option("--html", path, "Write the result as a page of charts (- for standard output)")
      ->type_name("FILE");
}

void write_page(const std::string& path, const page::Document& document) {
  config::write_output(path, page::html(document));
  if (const std::string missing = page::missing_library(); !missing.empty()) {
    fmt::print(stderr, "note: {}: {}\n", path, missing);
  }
}

}  // namespace foretoken::cli
