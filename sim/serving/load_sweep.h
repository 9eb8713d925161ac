// The same requests under other loads: where throughput stops following the offered rate.
#pragma once

#include <functional>
#include <vector>

#include "sim/serving/simulation.h"

namespace foretoken {

struct LoadPoint {
  double load = 0;  // requests per second offered; in a closed loop, requests in flight
  Summary summary;  // point estimate
};

struct LoadSweep {
  bool closed_loop = false;
  double own_load = 0;            // the scenario's; one of the points
  double saturation = 0;          // open: requests per second when all are there from the start
  std::vector<LoadPoint> points;  // by load; empty where there is no load to vary
};

// Arrivals are stretched or squeezed in time, which leaves their pattern and the requests as they
// are. No points for workloads that send everything at once, and for replicas that share links (too
// slow). `progress` as in RunOptions.
LoadSweep sweep_load(const Simulation& simulation, int threads,
                     const std::function<void(int, int)>& progress);

}  // namespace foretoken
