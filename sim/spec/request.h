// Requests as a workload or a trace states them.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.h"

namespace foretoken {

struct Request {
  Time arrival = kTimeZero;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
};

struct Trace {
  std::vector<Request> requests;  // ordered by arrival, the first at zero
  bool has_arrivals = false;
};

}  // namespace foretoken
