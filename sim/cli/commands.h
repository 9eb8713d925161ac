// One function per subcommand: registers it, and sets `action` when the user chose it. The action
// runs after the whole command line has been checked; it returns the exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "sim/plan/error_probe.h"

namespace foretoken::cli {

using Action = std::function<int()>;

void add_simulate(CLI::App& app, Action& action);
// `make_probe` may be empty: no numeric errors.
void add_compare(CLI::App& app, Action& action, const MakeErrorProbe& make_probe);
void add_plan(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_collective(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_topology(CLI::App& app, Action& action);

}  // namespace foretoken::cli
