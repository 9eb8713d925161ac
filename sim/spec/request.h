// A request as the workload states it.
#pragma once

#include <cstdint>

#include "sim/core/units.h"

namespace foretoken {

struct Request {
  Time arrival = kTimeZero;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
};

}  // namespace foretoken
