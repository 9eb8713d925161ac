// foretoken topology detect
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace foretoken::calibrate {

// Adds `detect` to the subcommand `topology` that `app` already has.
void add_detect(CLI::App& app, std::function<int()>& action);

}  // namespace foretoken::calibrate
