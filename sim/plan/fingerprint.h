// One number for everything that a search's outcomes depend on: kept beside stored outcomes, so
// that those of other inputs are never taken for these.
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/plan/space.h"

namespace foretoken::plan {

// Of the scenario's text, the model, the requests, every cluster's links and every number and
// sample of its profile; `version` is that of the program.
std::uint64_t fingerprint(const Space& space, std::string_view version);

}  // namespace foretoken::plan
