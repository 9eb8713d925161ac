// `foretoken verify SCENARIO`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace foretoken::runtime {

void add_verify(CLI::App& app, std::function<int()>& action);

}  // namespace foretoken::runtime
