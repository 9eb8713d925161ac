// A profile stated at another pace of the cores (calibrate/bench/pace.h) than it was measured at.
#pragma once

#include "sim/spec/profile.h"

namespace foretoken::runtime {

// Sample tables, the GEMM fits and host times from `device.pace` to `pace`, the wire's processor
// times and the codec from `wire.pace`. Where the profile does not state them: as it is. Seconds of
// quiet.h's sentinel on as many cores as there are ranks.
Profile at_pace(Profile profile, double pace);

}  // namespace foretoken::runtime
