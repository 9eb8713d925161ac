// Completion scripts for shells, made from the tree of commands.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace foretoken::cli {

std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);

// foretoken completion bash|zsh. `app` is read when the command runs.
void add_completion(CLI::App& app, std::function<int()>& action);

}  // namespace foretoken::cli
