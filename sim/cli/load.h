// From a scenario file to a simulation that is ready to run, or a plan to search: reads everything
// the scenario names.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/plan/space.h"
#include "sim/serving/simulation.h"

namespace foretoken::cli {

// Options that commands working on a scenario share.
struct ScenarioOptions {
  std::string file;
  std::vector<std::string> overrides;  // key=value
  std::optional<std::uint64_t> seed;
};

void add_scenario_options(CLI::App& command, ScenarioOptions& options);

struct Loaded {
  Simulation simulation;
  std::vector<std::string> notes;  // what the reader should know about the inputs, a line each
};
Loaded load_simulation(const ScenarioOptions& options);

struct LoadedProblem {
  plan::Problem problem;
  std::vector<std::string> notes;
};
LoadedProblem load_problem(const ScenarioOptions& options);

// The named profiles stacked, later over earlier; the cluster's default when none is named.
Profile load_device_profile(const std::vector<std::string>& names, const ClusterSpec& cluster);
Topology load_topology(const std::string& name);

}  // namespace foretoken::cli
