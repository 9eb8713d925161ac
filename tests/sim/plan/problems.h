// Small planning problems built in code, on the deployment of tests/sim/serving/fixtures.h.
#pragma once

#include <memory>
#include <utility>

#include "sim/plan/space.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken::testing_fixtures {

inline plan::Candidate candidate(int gpus, double price, double speed = 1) {
  Profile profile = round_profile();
  profile.parameters["device.memory_bandwidth"].value *= speed;
  profile.parameters["gemm.bf16.peak"].value *= speed;
  return {std::make_shared<const Topology>(switched_topology(gpus)),
          std::make_shared<const CostModel>(std::move(profile)), price};
}

// 2 x 3 x 3 x 3 = 54 configurations at `rate` requests a second.
inline plan::Problem small_problem(double rate, std::int64_t requests = 400) {
  plan::Problem problem;
  ScenarioSpec& scenario = problem.scenario;
  scenario = small_scenario();
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::poisson;
  scenario.workload.arrivals.rate = rate;
  scenario.workload.requests = requests;
  scenario.workload.warmup = 0.05;
  scenario.slo = SloSpec{time_from_seconds(20e-3), time_from_seconds(2e-3), {}, 99};
  PlanSpec spec;
  spec.tensor = {1, 2, 4};
  spec.data = {1, 2, 4};
  spec.max_num_seqs = {2, 8, 32};
  scenario.plan = spec;
  problem.candidates = {candidate(8, 1), candidate(4, 1.7, 2)};
  problem.workload = make_workload(scenario.workload, nullptr, nullptr, scenario.seed);
  return problem;
}

}  // namespace foretoken::testing_fixtures
