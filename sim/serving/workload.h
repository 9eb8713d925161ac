// Turns a workload specification into requests. Arrivals and lengths draw from streams of their
// own, so that changing the rate does not change the lengths.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/spec/request.h"
#include "sim/spec/scenario.h"

namespace foretoken {

struct Workload {
  std::vector<Request>
      requests;              // ordered by arrival; in a closed loop arrivals are set as it runs
  int concurrency = 0;       // closed loop: users who each wait for their answer; 0: open
  std::vector<Time> delays;  // closed loop: from the client being free to the request; may be empty
};

// `arrivals` and `lengths` are the traces the specification names, or null. A length trace is taken
// in its order and starts again when it ends; with arrivals and lengths from the same trace each
// request keeps its own lengths. Where `max_total` cuts a request, the prompt is cut first, to at
// least one token, then the output. Requests without output tokens emit one, without input tokens
// read one. Throws InputError when a trace lacks what is asked of it.
Workload make_workload(const WorkloadSpec& spec, const Trace* arrivals, const Trace* lengths,
                       std::uint64_t seed);

// The Weibull shape whose coefficient of variation is `cv`.
double weibull_shape(double cv);

}  // namespace foretoken
