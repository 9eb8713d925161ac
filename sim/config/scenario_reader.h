// Reads a scenario (design: README.md, "Scenario"). Paths inside it are resolved relative to the
// file, then by shipped name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/config/document.h"
#include "sim/config/engine_presets.h"
#include "sim/spec/scenario.h"

namespace foretoken::config {

// `overrides` (of --set) and then `varied` (of --vary) are "key.path=value", applied in order
// before reading. Throws InputError.
ScenarioSpec read_scenario(const std::string& path, const std::vector<std::string>& overrides = {},
                           const std::vector<std::string>& varied = {});
ScenarioSpec parse_scenario(const std::shared_ptr<const Node>& root, const std::string& file);

}  // namespace foretoken::config
