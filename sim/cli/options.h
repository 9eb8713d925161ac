// Options that several commands share, worded once.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "sim/cli/load.h"

namespace foretoken::cli {

void add_scenario_options(CLI::App& command, ScenarioOptions& options);
void add_run_options(CLI::App& command, int& replications, int& threads);
void add_json_option(CLI::App& command, std::string& path);

}  // namespace foretoken::cli
