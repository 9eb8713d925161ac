#include "sim/serving/load_sweep.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/serving/in_parallel.h"

namespace foretoken {
namespace {

constexpr std::array kShares{0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.2};  // of saturation
constexpr std::array kMultiples{0.125, 0.25, 0.5, 1.0, 2.0, 4.0};             // of concurrency

// Arrivals `factor` times as far apart.
Workload stretched(Workload workload, double factor) {
  for (Request& request : workload.requests) {
    request.arrival = time_from_seconds(to_seconds(request.arrival) * factor);
  }
  return workload;
}

Summary run_with(const Simulation& simulation, Workload workload) {
  const ScenarioSpec& scenario = simulation.scenario();
  const Simulation other(scenario, Topology(simulation.topology().spec()), simulation.shared_cost(),
                         std::move(workload));
  return summarise(other.run(CostDraw(), false), scenario.workload.warmup, scenario.slo);
}

double own_rate(const Workload& workload) {
  const auto& requests = workload.requests;
  const Time span =
      requests.empty() ? kTimeZero : requests.back().arrival - requests.front().arrival;
  return span > kTimeZero ? static_cast<double>(requests.size() - 1) / to_seconds(span) : 0;
}

}  // namespace

LoadSweep sweep_load(const Simulation& simulation, int threads,
                     const std::function<void(int, int)>& progress) {
  const Workload& workload = simulation.workload();
  LoadSweep sweep;
  sweep.closed_loop = workload.concurrency > 0;
  sweep.own_load = sweep.closed_loop ? workload.concurrency : own_rate(workload);
  if (sweep.own_load == 0 || simulation.replicas_share_links()) {
    return sweep;
  }
  std::vector<double> loads{sweep.own_load};
  if (sweep.closed_loop) {
    for (const double multiple : kMultiples) {
      loads.push_back(std::max(1.0, std::round(multiple * sweep.own_load)));
    }
  } else {
    sweep.saturation = run_with(simulation, stretched(workload, 0)).request_throughput;
    for (const double share : kShares) {
      loads.push_back(share * sweep.saturation);
    }
  }
  std::sort(loads.begin(), loads.end());
  loads.erase(std::unique(loads.begin(), loads.end()), loads.end());
  sweep.points.resize(loads.size());
  in_parallel(static_cast<int>(loads.size()), threads, progress, [&](int i) {
    const auto index = static_cast<std::size_t>(i);
    Workload other = workload;
    if (sweep.closed_loop) {
      other.concurrency = static_cast<int>(loads[index]);
    } else if (loads[index] != sweep.own_load) {
      other = stretched(std::move(other), sweep.own_load / loads[index]);
    }
    sweep.points[index] = {loads[index], run_with(simulation, std::move(other))};
  });
  return sweep;
}

}  // namespace foretoken
