// `foretoken plan` and `foretoken-mpi plan`: the same command, with its work done by threads or by
// ranks.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "sim/cli/load.h"
#include "sim/plan/search.h"

namespace foretoken::cli {

struct PlanOptions {
  ScenarioOptions scenario;
  plan::SearchOptions search;
  std::string json, html, db;
  bool resume = false;
};

void add_plan_options(CLI::App& command, PlanOptions& options);

// Returns the exit status.
int run_plan(const PlanOptions& options, const plan::Space& space,
             const std::vector<std::string>& notes, plan::TaskRunner& runner);

}  // namespace foretoken::cli
