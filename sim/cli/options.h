// Options that several commands share, worded once.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "reports/page/page.h"
#include "sim/cli/load.h"

namespace foretoken::cli {

void add_scenario_options(CLI::App& command, ScenarioOptions& options);
void add_run_options(CLI::App& command, int& replications, int& threads);
void add_json_option(CLI::App& command, std::string& path);
void add_html_option(CLI::App& command, std::string& path);

// Writes the page, and a note on stderr where it lacks its charts.
void write_page(const std::string& path, const page::Document& document);

}  // namespace foretoken::cli
