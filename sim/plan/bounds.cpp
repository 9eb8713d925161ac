#include "sim/plan/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/core/error.h"

namespace foretoken::plan {
namespace {

constexpr double kNoBound = std::numeric_limits<double>::infinity();

// The sum without the `largest` greatest values.
double sum_without(std::vector<double> values, std::size_t largest) {
  std::sort(values.begin(), values.end());
  values.resize(values.size() - std::min(values.size(), largest));
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Whether one token per step is fed back for each running request, and prompts share those steps.
bool bounded(const EngineSpec& engine) { return engine.batching == Batching::continuous; }

// At most so many sequences decode in one step.
double sequences_of_a_step(const ScenarioSpec& scenario) {
  const bool balanced = scenario.engine.micro_batches == MicroBatches::balanced;
  return static_cast<double>(
      ceil_div(scenario.engine.max_num_seqs, balanced ? scenario.parallel.pipeline : 1));
}

double least_steps(const Demand::Cut& cut, const StepFloor& floor, const HostFloor& host,
                   const ScenarioSpec& scenario, std::int64_t kv_blocks) {
  const EngineSpec& engine = scenario.engine;
  double steps = cut.tokens / static_cast<double>(engine.max_num_batched_tokens);
  steps = std::max(steps, cut.decode_tokens / sequences_of_a_step(scenario));
  steps = std::max(steps, cut.kv_tokens / static_cast<double>(kv_blocks * engine.block_size));
  if (scenario.slo->tpot) {
    const double left = to_seconds(*scenario.slo->tpot) - host.decode_step;
    const double tokens = floor.whole.tokens_within(left);
    steps = std::max(steps, tokens > 0 ? cut.decode_tokens / tokens : 0);
  }
  return steps;
}

double least_work(const Demand::Cut& cut, const StepFloor& floor, const HostFloor& host,
                  const ScenarioSpec& scenario, std::int64_t kv_blocks) {
  const double steps = least_steps(cut, floor, host, scenario, kv_blocks);
  double most = 0;
  for (std::size_t stage = 0; stage < floor.stages.size(); ++stage) {
    const double host_work =
        stage == 0 ? host.decode_step * steps + host.sequence * cut.decode_tokens : 0;
    most = std::max(most, host_work + floor.stages[stage].time(steps, cut.tokens) +
                              floor.kv_token[stage] * cut.kv_tokens);
  }
  return most;
}

double prompt_floor(const StepFloor& floor, const HostFloor& host, const EngineSpec& engine,
                    std::int64_t input) {
  const auto steps = static_cast<double>(ceil_div(input, engine.max_num_batched_tokens));
  return host.request + host.prefill_step * steps +
         floor.whole.time(steps, static_cast<double>(input));
}

}  // namespace

Demand::Demand(const ScenarioSpec& scenario, const Workload& workload, double required_rate) {
  const auto skipped = static_cast<std::size_t>(
      std::floor(static_cast<double>(workload.requests.size()) * scenario.workload.warmup));
  const std::int64_t longest_served =
      scenario.engine.max_model_len.value_or(scenario.model.max_positions);
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    const Request& r = workload.requests[i];
    if (longest_served > 0 && r.input_tokens + r.output_tokens > longest_served) {
      continue;  // refused by every configuration alike
    }
    longest_ = std::max(longest_, r.input_tokens + r.output_tokens - 1);
    if (i >= skipped) {
      scored_.push_back({r.input_tokens, r.output_tokens});
    }
  }
  if (scored_.empty()) {
    throw InputError(scenario.workload.mark, "workload",
                     "no request is left to hold against the targets; raise requests or cut their "
                     "length with lengths.max_total");
  }
  std::sort(scored_.begin(), scored_.end(), [](const Shape& a, const Shape& b) {
    return a.input != b.input ? a.input < b.input : a.output < b.output;
  });
  percentile_index_ = static_cast<std::size_t>(scenario.slo->percentile / 100 *
                                               static_cast<double>(scored_.size() - 1));
  span_ = to_seconds(workload.requests.back().arrival) * required_rate;
  make_cuts(*scenario.slo);
}

Demand::Cut Demand::work_of(const std::vector<Shape>& requests, std::size_t may_miss,
                            bool decodes) const {
  std::vector<double> tokens, decode_tokens, kv_tokens;
  for (const Shape& r : requests) {
    const auto fed_back = static_cast<double>(decodes ? r.output - 1 : 0);
    const auto input = static_cast<double>(r.input);
    tokens.push_back(input + fed_back);
    decode_tokens.push_back(fed_back);
    // The t-th token fed back reads the prompt and t tokens.
    kv_tokens.push_back(fed_back * input + fed_back * (fed_back + 1) / 2);
  }
  Cut cut;
  cut.tokens = sum_without(std::move(tokens), may_miss);
  cut.decode_tokens = sum_without(std::move(decode_tokens), may_miss);
  cut.kv_tokens = sum_without(std::move(kv_tokens), may_miss);
  return cut;
}

void Demand::make_cuts(const SloSpec& slo) {
  if (slo.e2e) {
    cuts_.push_back(work_of(scored_, may_miss(), true));
    cuts_.back().tail = to_seconds(*slo.e2e);
  }
  if (slo.ttft) {
    cuts_.push_back(work_of(scored_, may_miss(), false));
    cuts_.back().tail = to_seconds(*slo.ttft);
  }
  if (!slo.ttft || !slo.tpot) {
    return;
  }
  // Both met: done by arrival + ttft + tpot x (output - 1). Leaving the longest outputs out
  // shortens the tail.
  std::vector<Shape> by_output = scored_;
  std::sort(by_output.begin(), by_output.end(),
            [](const Shape& a, const Shape& b) { return a.output < b.output; });
  for (const double share : {1.0, 0.99, 0.9, 0.75, 0.5}) {
    const auto count =
        static_cast<std::size_t>(std::ceil(share * static_cast<double>(by_output.size())));
    const std::vector<Shape> kept(by_output.begin(),
                                  by_output.begin() + static_cast<std::ptrdiff_t>(count));
    cuts_.push_back(work_of(kept, 2 * may_miss(), true));
    cuts_.back().tail =
        to_seconds(*slo.ttft) + to_seconds(*slo.tpot) * static_cast<double>(kept.back().output - 1);
  }
}

HostFloor host_floor(const CostModel& cost, const EngineSpec& engine, int ranks) {
  HostFloor host;
  host.request = cost.host_request().seconds;
  if (engine.host_overlap != HostOverlap::all) {
    host.prefill_step = cost.host(true, 1, ranks).seconds;
  }
  if (engine.host_overlap == HostOverlap::none) {
    host.decode_step = cost.host(false, 0, ranks).seconds;
    host.sequence = cost.host(false, 1, ranks).seconds - host.decode_step;
  }
  return host;
}

Bounds bound(const Demand& demand, const StepFloor& floor, const HostFloor& host,
             const ScenarioSpec& scenario, std::int64_t kv_blocks) {
  Bounds bounds;
  bounds.rate = kNoBound;
  if (!bounded(scenario.engine)) {
    return bounds;
  }
  for (const Demand::Cut& cut : demand.cuts()) {
    const double busy = least_work(cut, floor, host, scenario, kv_blocks) /
                        static_cast<double>(scenario.parallel.data);
    if (busy > cut.tail) {
      bounds.rate = std::min(bounds.rate, demand.span() / (busy - cut.tail));
    }
  }
  const Demand::Shape& shape = demand.scored()[demand.percentile_index()];
  bounds.ttft = prompt_floor(floor, host, scenario.engine, shape.input);
  const bool one_token = std::all_of(demand.scored().begin(), demand.scored().end(),
                                     [](const Demand::Shape& r) { return r.output == 1; });
  const double step = host.decode_step + host.sequence + floor.whole.time(1, 1);
  bounds.tpot = one_token ? 0 : step;
  if (scenario.slo->e2e) {
    std::vector<double> e2e;
    for (const Demand::Shape& r : demand.scored()) {
      e2e.push_back(prompt_floor(floor, host, scenario.engine, r.input) +
                    step * static_cast<double>(r.output - 1));
    }
    std::sort(e2e.begin(), e2e.end());
    bounds.e2e = e2e[demand.percentile_index()];
  }
  return bounds;
}

}  // namespace foretoken::plan
