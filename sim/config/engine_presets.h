// Engines as data: what `engine.preset` sets. Rules that data cannot express are schedulers of
// their own (sim/scheduler/schedulers.h).
#pragma once

#include <string_view>
#include <vector>

#include "sim/config/document.h"
#include "sim/spec/engine.h"

namespace foretoken::config {

// Presets by name, with one sentence each, for `foretoken list schedulers`.
struct EnginePreset {
  std::string_view name;
  std::string_view meaning;
  EngineSpec engine;  // what the preset sets; the scenario's own keys override it
};
const std::vector<EnginePreset>& engine_presets();

// The `engine` part of a scenario. Throws InputError.
EngineSpec read_engine(const Node& node);

}  // namespace foretoken::config
