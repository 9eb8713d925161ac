// Help in the manner of a manual page: name, synopsis, description, options with units and
// defaults, examples, exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace foretoken::cli {

// "foretoken topology show"
std::string command_path(const CLI::App& command);

// The page of a command or of the program, at most 100 columns wide.
std::string manual(const CLI::App& command);

// `manual` becomes what --help prints, also for the commands added from now on.
void use_manual(CLI::App& app);

// foretoken help [COMMAND...]
void add_help(CLI::App& app, std::function<int()>& action);

}  // namespace foretoken::cli
