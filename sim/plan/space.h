// The configurations that a plan chooses from: every combination of the choices that the scenario's
// `plan:` block states, in a fixed order (clusters outermost, then tensor, pipeline, data,
// placement, weights, activations, KV cache, all-reduce, max_num_seqs, max_num_batched_tokens).
// Ties between plans go to the earlier one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/cost/cost_model.h"
#include "sim/plan/bounds.h"
#include "sim/serving/workload.h"
#include "sim/spec/scenario.h"
#include "sim/step/collective_memory.h"
#include "sim/topology/topology.h"

namespace foretoken::plan {

// A cluster to choose, ready to be simulated on.
struct Candidate {
  std::shared_ptr<const Topology> topology;
  std::shared_ptr<const CostModel> cost;  // the engine's host times included (with_host_times)
  double gpu_hour = 0;                    // 0: unknown, then for all candidates
  // Of collectives on this cluster, shared by all simulations.
  std::shared_ptr<CollectiveMemory> collectives = std::make_shared<CollectiveMemory>();
};

struct Problem {
  ScenarioSpec scenario;  // its own parallel, cluster and profiles are not looked at
  std::vector<Candidate> candidates;
  Workload workload;  // at the required rate
};

struct Configuration {
  std::size_t candidate = 0;
  int tensor = 1, pipeline = 1, data = 1;
  std::size_t order = 0;  // of the placement orders to choose from
  Format weights, activations, kv_cache, all_reduce;
  int max_num_seqs = 0;
  std::int64_t max_num_batched_tokens = 0;
  int gpus() const { return tensor * pipeline * data; }
};

class Space {
 public:
  static constexpr std::size_t kMaxConfigurations = 1'000'000;

  // Throws InputError when the scenario states no targets or no arrival rate, when some candidates
  // have a price and others none, a budget has no price to hold it against, or there are more
  // configurations than kMaxConfigurations.
  explicit Space(Problem problem);

  const Problem& problem() const { return problem_; }
  const PlanSpec& spec() const { return spec_; }
  const SloSpec& targets() const { return *problem_.scenario.slo; }
  std::size_t size() const { return configurations_.size(); }
  const Configuration& at(std::size_t index) const { return configurations_[index]; }
  const Candidate& candidate(std::size_t index) const {
    return problem_.candidates[at(index).candidate];
  }
  // The scenario in which this configuration is simulated.
  ScenarioSpec scenario(std::size_t index) const;

  bool priced() const { return problem_.candidates.front().gpu_hour > 0; }
  // Money per hour; the number of GPUs where there are no prices.
  double cost(std::size_t index) const;
  // "hgx-h100-8: tensor 4 x pipeline 1 x data 2, ..."; formats and limits only where there is a
  // choice.
  std::string label(std::size_t index) const;

  const Demand& demand() const { return *demand_; }
  double required_rate() const { return required_rate_; }  // requests per second
  // Rates are tried on a ladder: required_rate() x (1 + resolution)^rung.
  double rate(int rung) const;
  // The highest rung not above `rate`, at most max_rung(). REQUIRES: rate > 0.
  int rung_below(double rate) const;
  // Rates beyond 64 times the required one, and below its 64th, are not told apart.
  int max_rung() const { return max_rung_; }

 private:
  void enumerate();

  Problem problem_;
  PlanSpec spec_;                 // every list filled
  std::optional<Demand> demand_;  // always there once constructed
  double required_rate_ = 0;
  int max_rung_ = 0;
  std::vector<Configuration> configurations_;
};

// Mean arrival rate: as stated, or of the trace. Throws InputError for workloads without one.
double arrival_rate(const WorkloadSpec& spec, const Workload& workload);

}  // namespace foretoken::plan
