// foretoken import: other people's dumps into our files.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace foretoken::importer {

// Registers `import` and sets `action` when the user chose it; the action returns the exit status.
void add_import(CLI::App& app, std::function<int()>& action);

}  // namespace foretoken::importer
