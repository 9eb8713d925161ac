// A small deployment built in code: a two-layer model on GPUs joined by one switch, with costs from
// a handful of round numbers.
#pragma once

#include <string>
#include <utility>

#include "sim/serving/simulation.h"
#include "sim/topology/builders.h"

namespace foretoken::testing_fixtures {

inline ModelSpec small_model() {
  ModelSpec model;
  model.name = "small";
  model.layers = 4;
  model.hidden = 512;
  model.heads = 8;
  model.kv_heads = 4;
  model.head_dim = 64;
  model.intermediate = 1024;
  model.vocab = 4096;
  model.max_positions = 65536;
  return model;
}

inline Profile round_profile() {
  Profile profile;
  profile.name = "round";
  const auto set = [&](const char* key, double value) {
    profile.parameters[key] = {value, Provenance::measured, "test"};
  };
  set("device.memory", 1e9);
  set("device.memory_bandwidth", 100e9);
  set("device.bandwidth_efficiency", 1);
  set("device.sms", 1);
  set("gemm.bf16.peak", 10e12);
  set("gemm.bf16.efficiency", 1);
  set("gemm.bf16.t0", 2e-6);
  set("gemm.bf16.sd_family", 0.05);
  set("gemm.bf16.sd_shape", 0.05);
  set("attention.prefill.efficiency", 0.5);
  set("attention.prefill.t0", 5e-6);
  set("attention.decode.bandwidth_efficiency", 0.5);
  set("attention.decode.t0", 5e-6);
  set("attention.sd_family", 0.05);
  set("elementwise.t0", 1e-6);
  set("elementwise.bandwidth_efficiency", 1);
  set("elementwise.sd_family", 0.05);
  set("collective.t0", 3e-6);
  set("collective.step_latency", 1e-6);
  set("collective.sd_family", 0.05);
  set("host.step", 100e-6);
  set("host.sequence", 1e-6);
  set("host.prefill_step", 50e-6);
  set("host.request", 200e-6);
  set("host.sd_family", 0.05);
  return profile;
}

inline Topology switched_topology(int gpus) {
  ClusterSpec spec;
  spec.name = "switched";
  ClusterBuilder(spec).build(Switched{gpus, {{100e9}, Time(500'000)}, false});
  return Topology(std::move(spec));
}

inline ScenarioSpec small_scenario() {
  ScenarioSpec scenario;
  scenario.file = "test.yaml";
  scenario.model = small_model();
  scenario.model_mark = {"test.yaml", 3, 8};
  scenario.engine.max_num_batched_tokens = 512;
  scenario.engine.max_num_seqs = 32;
  scenario.workload.arrivals.rate = 100;
  scenario.workload.lengths.input.low = scenario.workload.lengths.input.high = 100;
  scenario.workload.lengths.output.low = scenario.workload.lengths.output.high = 10;
  scenario.workload.requests = 100;
  return scenario;
}

inline Simulation make(ScenarioSpec scenario, int gpus = 0) {
  Workload workload = make_workload(scenario.workload, nullptr, nullptr, scenario.seed);
  const int count = gpus > 0 ? gpus : scenario.parallel.gpus();
  return Simulation(std::move(scenario), switched_topology(count), round_profile(),
                    std::move(workload));
}

}  // namespace foretoken::testing_fixtures
