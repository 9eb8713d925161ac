// Subcommands that measure this machine's hardware. Only the program's main includes this.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace foretoken::calibrate {

// Registers `calibrate` and sets `action` when the user chose it; the action returns the exit
// status.
void add_calibrate(CLI::App& app, std::function<int()>& action);

}  // namespace foretoken::calibrate
