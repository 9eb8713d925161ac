#include "sim/plan/space.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken::plan {
namespace {

constexpr double kRateSpan = 64;  // the ladder's ends, as multiples of the required rate
constexpr int kMostReplicasByDefault = 16;

int gpus_of_a_node(const Topology& topology) {
  std::vector<int> count;
  for (int gpu = 0; gpu < topology.gpu_count(); ++gpu) {
    const auto node = static_cast<std::size_t>(topology.node_of_gpu(gpu));
    count.resize(std::max(count.size(), node + 1));
    ++count[node];
  }
  return *std::max_element(count.begin(), count.end());
}

template <class Value>
void fill(std::vector<Value>& choices, const Value& own) {
  if (choices.empty()) {
    choices.push_back(own);
  }
}

void fill_degrees(PlanSpec& spec, const std::vector<Candidate>& candidates) {
  int node = 1, all = 1;
  for (const Candidate& candidate : candidates) {
    node = std::max(node, gpus_of_a_node(*candidate.topology));
    all = std::max(all, candidate.topology->gpu_count());
  }
  if (spec.gpus) {
    all = static_cast<int>(std::min<std::int64_t>(all, *spec.gpus));
  }
  if (spec.tensor.empty()) {
    for (int degree = 1; degree <= node; degree *= 2) {
      spec.tensor.push_back(degree);
    }
  }
  if (spec.data.empty()) {
    for (int degree = 1; degree <= std::min(all, kMostReplicasByDefault); ++degree) {
      spec.data.push_back(degree);
    }
  }
  fill(spec.pipeline, 1);
}

PlanSpec filled(const ScenarioSpec& scenario, const std::vector<Candidate>& candidates) {
  PlanSpec spec = scenario.plan.value_or(PlanSpec{});
  fill_degrees(spec, candidates);
  fill(spec.placement, scenario.placement.order);
  fill(spec.weights, scenario.precision.weights_default);
  fill(spec.activations, scenario.precision.activations);
  fill(spec.kv_cache, scenario.precision.kv_cache);
  fill(spec.all_reduce, scenario.precision.all_reduce);
  fill(spec.max_num_seqs, scenario.engine.max_num_seqs);
  fill(spec.max_num_batched_tokens, scenario.engine.max_num_batched_tokens);
  return spec;
}

void check_prices(const PlanSpec& spec, const std::vector<Candidate>& candidates) {
  const bool priced = candidates.front().gpu_hour > 0;
  for (const Candidate& candidate : candidates) {
    if ((candidate.gpu_hour > 0) != priced) {
      throw InputError(spec.mark, "plan.clusters",
                       "some clusters have a price and others none; state cost.gpu_hour, or "
                       "gpu_hour with each cluster");
    }
  }
  if (spec.budget && !priced) {
    throw InputError(spec.mark, "plan.budget",
                     "there is no price to hold against the budget; state cost.gpu_hour, or limit "
                     "plan.gpus");
  }
}

void check_size(const PlanSpec& spec, std::size_t candidates) {
  double size = static_cast<double>(candidates);
  for (const std::size_t axis :
       {spec.tensor.size(), spec.pipeline.size(), spec.data.size(), spec.placement.size(),
        spec.weights.size(), spec.activations.size(), spec.kv_cache.size(), spec.all_reduce.size(),
        spec.max_num_seqs.size(), spec.max_num_batched_tokens.size()}) {
    size *= static_cast<double>(axis);
  }
  if (size > static_cast<double>(Space::kMaxConfigurations)) {
    throw InputError(
        spec.mark, "plan",
        fmt::format("{:.0f} configurations, at most {} can be searched; shorten a list", size,
                    Space::kMaxConfigurations));
  }
}

}  // namespace

double arrival_rate(const WorkloadSpec& spec, const Workload& workload) {
  if (spec.arrivals.rate > 0) {
    return spec.arrivals.rate;
  }
  const std::size_t count = workload.requests.size();
  const Time span =
      count > 1 ? workload.requests.back().arrival - workload.requests.front().arrival : kTimeZero;
  if (spec.arrivals.kind != ArrivalSpec::Kind::trace || span <= kTimeZero) {
    throw InputError(spec.arrivals.mark, "workload.arrivals",
                     "a plan needs an arrival rate to meet; state constant, poisson, gamma, "
                     "weibull or a trace with arrivals");
  }
  return static_cast<double>(count - 1) / to_seconds(span);
}

Space::Space(Problem problem) : problem_(std::move(problem)) {
  const ScenarioSpec& scenario = problem_.scenario;
  FT_CHECK(!problem_.candidates.empty());
  if (!scenario.slo) {
    throw InputError(SourceMark{scenario.file, 0, 0}, "slo",
                     "a plan needs targets, such as slo: {ttft: 500ms, tpot: 50ms}");
  }
  required_rate_ = arrival_rate(scenario.workload, problem_.workload);
  demand_.emplace(scenario, problem_.workload, required_rate_);
  spec_ = filled(scenario, problem_.candidates);
  check_prices(spec_, problem_.candidates);
  check_size(spec_, problem_.candidates.size());
  max_rung_ = static_cast<int>(std::log(kRateSpan) / std::log1p(spec_.resolution));
  enumerate();
}

void Space::enumerate() {
  Configuration c;
  const auto each = [](const auto& choices, auto& field, const auto& inner) {
    for (const auto& choice : choices) {
      field = choice;
      inner();
    }
  };
  const auto count = [](std::size_t n) {
    std::vector<std::size_t> indices(n);
    for (std::size_t i = 0; i < n; ++i) {
      indices[i] = i;
    }
    return indices;
  };
  const auto limits = [&] {
    each(spec_.max_num_seqs, c.max_num_seqs, [&] {
      each(spec_.max_num_batched_tokens, c.max_num_batched_tokens,
           [&] { configurations_.push_back(c); });
    });
  };
  const auto formats = [&] {
    each(spec_.weights, c.weights, [&] {
      each(spec_.activations, c.activations, [&] {
        each(spec_.kv_cache, c.kv_cache, [&] { each(spec_.all_reduce, c.all_reduce, limits); });
      });
    });
  };
  each(count(problem_.candidates.size()), c.candidate, [&] {
    each(spec_.tensor, c.tensor, [&] {
      each(spec_.pipeline, c.pipeline, [&] {
        each(spec_.data, c.data, [&] { each(count(spec_.placement.size()), c.order, formats); });
      });
    });
  });
}

ScenarioSpec Space::scenario(std::size_t index) const {
  const Configuration& c = at(index);
  ScenarioSpec scenario = problem_.scenario;
  scenario.parallel.tensor = c.tensor;
  scenario.parallel.pipeline = c.pipeline;
  scenario.parallel.data = c.data;
  scenario.parallel.expert = 1;
  scenario.parallel.sequence = scenario.parallel.sequence && c.tensor > 1;
  scenario.placement.order = spec_.placement[c.order];
  scenario.placement.groups.clear();
  scenario.precision.weights_default = c.weights;
  scenario.precision.activations = c.activations;
  scenario.precision.kv_cache = c.kv_cache;
  scenario.precision.all_reduce = c.all_reduce;
  scenario.engine.max_num_seqs = c.max_num_seqs;
  scenario.engine.max_num_batched_tokens = c.max_num_batched_tokens;
  return scenario;
}

double Space::cost(std::size_t index) const {
  return at(index).gpus() * (priced() ? candidate(index).gpu_hour : 1);
}

std::string Space::label(std::size_t index) const {
  const Configuration& c = at(index);
  std::string text =
      fmt::format("{}: tensor {} x pipeline {} x data {}", candidate(index).topology->spec().name,
                  c.tensor, c.pipeline, c.data);
  const auto add = [&](bool choice, std::string_view name, const std::string& value) {
    if (choice) {
      text += fmt::format(", {} {}", name, value);
    }
  };
  std::string order;
  for (const std::string& dimension : spec_.placement[c.order]) {
    order += (order.empty() ? "" : "-") + dimension;
  }
  add(spec_.placement.size() > 1, "order", order);
  add(spec_.weights.size() > 1, "weights", to_string(c.weights));
  add(spec_.activations.size() > 1, "activations", to_string(c.activations));
  add(spec_.kv_cache.size() > 1, "kv_cache", to_string(c.kv_cache));
  add(spec_.all_reduce.size() > 1 && c.tensor > 1, "all_reduce", to_string(c.all_reduce));
  add(spec_.max_num_seqs.size() > 1, "seqs", std::to_string(c.max_num_seqs));
  add(spec_.max_num_batched_tokens.size() > 1, "tokens", std::to_string(c.max_num_batched_tokens));
  return text;
}

double Space::rate(int rung) const {
  double factor = 1;  // not std::pow: the same bits with every math library
  for (int i = 0; i < std::abs(rung); ++i) {
    factor *= 1 + spec_.resolution;
  }
  return rung >= 0 ? required_rate_ * factor : required_rate_ / factor;
}

int Space::rung_below(double rate) const {
  int rung = -max_rung_ - 1;
  while (rung < max_rung_ && this->rate(rung + 1) <= rate) {
    ++rung;
  }
  return rung;
}

}  // namespace foretoken::plan
