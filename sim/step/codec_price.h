// Price of quantising or dequantising values for the wire on one rank: t0 + uncompressed bytes /
// bandwidth where the profile has measured the codec in that format, else that of an elementwise
// pass over the raw and the packed bytes, which is then assumed.
#pragma once

#include <cstdint>

#include "sim/cost/cost_model.h"
#include "sim/spec/format.h"

namespace foretoken {

Estimate codec_price(const CostModel& cost, CodecPhase phase, std::int64_t values,
                     const Format& wire);

}  // namespace foretoken
