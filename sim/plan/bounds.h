// What no simulation of a configuration can beat, from the closed-form step cost: a lower bound of
// each latency and an upper bound of the rate that meets the targets.
//
// Rate. When the targets are met at rate r by n requests, all but the share that may miss them have
// been computed by the last arrival (n / r) + a tail that the targets allow. The work of those
// requests, on the busiest stage, is at least fixed x S + per_token x N + kv_token x K: N tokens, K
// cached tokens read, S steps. Steps hold at most max_num_seqs sequences, the KV cache's tokens,
// max_num_batched_tokens, and no more tokens than a step within the TPOT target can (averaged over
// tokens: Jensen), which bounds S from below. With d replicas: d x (n / r + tail) >= work.
//
// Latencies. A request is in one step at a time: its prompt of n tokens takes at least
// ceil(n / max_num_batched_tokens) steps of n tokens in all, through every stage; each further
// token at least a step of one token. Percentiles of these over the requests.
//
// Only continuous batching is bounded; other engines' configurations are all simulated.
#pragma once

#include <vector>

#include "sim/plan/step_floor.h"
#include "sim/serving/workload.h"
#include "sim/spec/scenario.h"

namespace foretoken::plan {

struct Bounds {
  double ttft = 0, tpot = 0, e2e = 0;  // seconds, at the targets' percentile; none can be lower
  double rate = 0;                     // requests per second; infinity: not bounded
};

// What a workload asks of any deployment. Made once.
class Demand {
 public:
  Demand(const ScenarioSpec& scenario, const Workload& workload, double required_rate);

  // Requests that must have been computed, whichever may miss, by the last arrival + tail.
  struct Cut {
    double tokens = 0;         // N, each prompt token and each token fed back
    double decode_tokens = 0;  // fed back
    double kv_tokens = 0;      // K: cached tokens, summed over the decodes
    double tail = 0;           // seconds
  };
  const std::vector<Cut>& cuts() const { return cuts_; }
  // Arrivals span / rate seconds.
  double span() const { return span_; }
  std::int64_t longest() const { return longest_; }  // tokens stored by the longest request served

  struct Shape {
    std::int64_t input = 0, output = 0;
  };
  const std::vector<Shape>& scored() const { return scored_; }  // by input, then output
  // The order statistic of the scored requests that the targets' percentile cannot lie below.
  std::size_t percentile_index() const { return percentile_index_; }
  // More of the scored requests than this cannot miss a target that is met.
  std::size_t may_miss() const { return scored_.size() - percentile_index_ - 1; }

 private:
  void make_cuts(const SloSpec& slo);
  Cut work_of(const std::vector<Shape>& requests, std::size_t may_miss, bool decodes) const;

  std::vector<Shape> scored_;
  std::size_t percentile_index_ = 0;
  double span_ = 0;
  std::int64_t longest_ = 0;
  std::vector<Cut> cuts_;
};

struct HostFloor {
  double request = 0;       // before the queue
  double prefill_step = 0;  // of a step with prompt tokens
  double decode_step = 0;   // of a step without
  double sequence = 0;      // per sequence decoded
};
HostFloor host_floor(const CostModel& cost, const EngineSpec& engine, int ranks);

// `kv_blocks`: of one replica.
Bounds bound(const Demand& demand, const StepFloor& floor, const HostFloor& host,
             const ScenarioSpec& scenario, std::int64_t kv_blocks);

}  // namespace foretoken::plan
