#include "sim/plan/reasons.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "sim/core/error.h"
#include "sim/serving/simulation.h"

namespace foretoken::plan {
namespace {

constexpr std::size_t kCheaperShown = 4;
constexpr std::size_t kFeasibleShown = 4;
constexpr std::size_t kRatesTried = 8;

std::string milliseconds(double seconds) { return fmt::format("{:.4g} ms", seconds * 1e3); }

// A target, and what was found of it.
struct Held {
  std::string_view name;
  double target = 0, found = 0;  // seconds
  double share() const { return found / target; }
};

// The target that is furthest from being met.
Held worst(const SloSpec& slo, double ttft, double tpot, double e2e) {
  Held worst;
  const auto hold = [&](std::string_view name, const std::optional<Time>& target, double found) {
    if (target && (worst.target == 0 || found / to_seconds(*target) > worst.share())) {
      worst = {name, to_seconds(*target), found};
    }
  };
  hold("ttft", slo.ttft, ttft);
  hold("tpot", slo.tpot, tpot);
  hold("e2e", slo.e2e, e2e);
  return worst;
}

class Reasons {
 public:
  Reasons(const Space& space, const PlanResult& result) : space_(space), result_(result) {}

  Fate fate(std::size_t index) const { return result_.screened[index].fate; }
  // As simulated to the end, where that has been done.
  const Outcome& outcome(std::size_t index) const {
    const auto it = measured_.find(index);
    return it != measured_.end() ? it->second : result_.outcomes.at(index);
  }
  void measure(const std::vector<std::size_t>& indices, Work& work);
  Held found(std::size_t index) const {
    const Outcome& o = outcome(index);
    return worst(space_.targets(), o.ttft, o.tpot, o.e2e);
  }
  Held least(std::size_t index) const {
    const Bounds& b = result_.screened[index].bounds;
    return worst(space_.targets(), b.ttft, b.tpot, b.e2e);
  }

  // How near a configuration came to meeting the targets: later groups are further off.
  std::tuple<int, double, double, std::size_t> distance(std::size_t index) const {
    switch (fate(index)) {
      case Fate::missed: {
        const Outcome& o = result_.outcomes.at(index);  // all stopped alike
        return {o.overloaded ? 1 : 0, 1 - o.finished, latency_share_of(o), index};
      }
      case Fate::rate_bound:
        return {2, -result_.screened[index].bounds.rate, 0, index};
      case Fate::latency_bound:
        return {3, least(index).share(), 0, index};
      case Fate::memory:
        return {4, 0, 0, index};
      default:
        return {5, 0, 0, index};
    }
  }

  std::string miss(std::size_t index) const;
  std::string loss(std::size_t index) const;

 private:
  double latency_share_of(const Outcome& o) const {
    return latency_share(space_.targets(), o.ttft, o.tpot, o.e2e);
  }

  const Space& space_;
  const PlanResult& result_;
  std::map<std::size_t, Outcome> measured_;
};

void Reasons::measure(const std::vector<std::size_t>& indices, Work& work) {
  std::vector<Task> tasks;
  for (const std::size_t index : indices) {
    if (fate(index) == Fate::missed && result_.outcomes.at(index).finished < 1) {
      Task task;
      task.kind = Task::Kind::measure;
      task.configuration = static_cast<std::uint32_t>(index);
      tasks.push_back(task);
    }
  }
  const auto outcomes = work.solve(tasks, [](std::size_t) {});
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    measured_.emplace(tasks[i].configuration, outcomes[i]);
  }
}

std::string percentile_of(const Space& space, const Held& held) {
  return fmt::format("{} p{:g}", held.name, space.targets().percentile);
}

std::string memory_reason(const Space& space, std::size_t index) {
  const Candidate& candidate = space.candidate(index);
  const ScenarioSpec scenario = space.scenario(index);
  try {
    const GraphBuilder builder(scenario.model, scenario.precision, scenario.parallel);
    const MemoryPlan plan = plan_memory(builder, candidate.cost->profile(), scenario);
    return fmt::format("a KV cache of {} tokens cannot hold the longest request",
                       plan.blocks * scenario.engine.block_size);
  } catch (const InputError& error) {
    const std::string message = error.what();
    const auto from = message.find(": ", message.find("does not fit"));
    return "does not fit: " + message.substr(from + 2, message.find(';', from) - from - 2);
  }
}

std::string Reasons::miss(std::size_t index) const {
  const double required = space_.required_rate();
  switch (fate(index)) {
    case Fate::missed: {
      const Held held = found(index);
      if (held.share() <= 1) {
        return fmt::format("overloaded at {:.4g}/s: its queue grows", required);
      }
      return fmt::format("{} {}, the target is {}", percentile_of(space_, held),
                         milliseconds(held.found), milliseconds(held.target));
    }
    case Fate::rate_bound:
      return fmt::format("cannot compute {:.4g}/s: at most {:.4g}/s", required,
                         result_.screened[index].bounds.rate);
    case Fate::latency_bound: {
      const Held held = least(index);
      return fmt::format("{} at least {} unloaded, the target is {}", percentile_of(space_, held),
                         milliseconds(held.found), milliseconds(held.target));
    }
    case Fate::memory:
      return memory_reason(space_, index);
    default:
      return std::string(kFateMeanings[static_cast<std::size_t>(fate(index))]);
  }
}

// Why a plan that meets the targets lost to the cheapest.
std::string Reasons::loss(std::size_t index) const {
  const PlanRow& winner = result_.front[result_.cheapest];
  const Outcome& o = result_.outcomes.at(index);
  const double cost = space_.cost(index);
  std::string gains;
  if (!o.abandoned && o.rung > winner.outcome.rung) {
    gains = fmt::format("serves {:.0f} % more", (space_.rate(o.rung) / winner.rate - 1) * 100);
  }
  const double latency = latency_share(space_.targets(), o.ttft, o.tpot, o.e2e);
  if (latency < winner.latency) {
    gains += fmt::format("{}latency {:.0f} % of the target instead of {:.0f} %",
                         gains.empty() ? "" : ", ", latency * 100, winner.latency * 100);
  }
  if (cost > winner.cost) {
    return fmt::format("costs {:.0f} % more{}{}", (cost / winner.cost - 1) * 100,
                       gains.empty() ? ", better in nothing" : "; ", gains);
  }
  if (o.abandoned) {
    return "same cost; another plan of that cost is no slower and serves more";
  }
  if (o.rung < winner.outcome.rung) {
    return fmt::format("same cost, serves at most {:.4g}/s, not {:.4g}/s{}{}", space_.rate(o.rung),
                       winner.rate, gains.empty() ? "" : "; ", gains);
  }
  return latency > winner.latency
             ? fmt::format("same cost and rate, latency {:.0f} % of the target, not {:.0f} %",
                           latency * 100, winner.latency * 100)
             : "the same within the resolution; it comes later in the order of the plan block";
}

// The first of each cluster and number of GPUs, at most `most`.
std::vector<std::size_t> one_of_each(const Space& space, const std::vector<std::size_t>& sorted,
                                     std::size_t most) {
  std::set<std::pair<std::size_t, int>> seen;
  std::vector<std::size_t> kept;
  for (const std::size_t index : sorted) {
    const Configuration& c = space.at(index);
    if (kept.size() < most && seen.insert({c.candidate, c.gpus()}).second) {
      kept.push_back(index);
    }
  }
  return kept;
}

}  // namespace

std::vector<RunnerUp> runners_up(const Space& space, const PlanResult& result, Work& work) {
  Reasons reasons(space, result);
  const PlanRow& winner = result.front[result.cheapest];
  std::vector<std::size_t> cheaper, feasible;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const Fate fate = reasons.fate(i);
    const bool met = fate == Fate::beaten || fate == Fate::front;
    const bool miss = std::get<0>(reasons.distance(i)) < 5;
    if (met && i != winner.configuration) {
      feasible.push_back(i);
    } else if (miss && space.cost(i) < winner.cost) {
      cheaper.push_back(i);
    }
  }
  std::sort(cheaper.begin(), cheaper.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(-space.cost(a), reasons.distance(a)) <
           std::tuple(-space.cost(b), reasons.distance(b));
  });
  const auto order = [&](std::size_t i) {
    const Outcome& o = result.outcomes.at(i);
    return std::tuple(space.cost(i), o.abandoned, -o.rung, i);
  };
  std::sort(feasible.begin(), feasible.end(),
            [&](std::size_t a, std::size_t b) { return order(a) < order(b); });
  std::vector<RunnerUp> all;
  for (const std::size_t i : one_of_each(space, feasible, kFeasibleShown)) {
    all.push_back({i, reasons.fate(i), space.cost(i), reasons.loss(i)});
  }
  const std::vector<std::size_t> nearest = one_of_each(space, cheaper, kCheaperShown);
  reasons.measure(nearest, work);
  for (const std::size_t i : nearest) {
    all.push_back({i, reasons.fate(i), space.cost(i), reasons.miss(i)});
  }
  return all;
}

namespace {

// Beyond the limits, cheapest first, until a wave holds a plan.
std::optional<std::size_t> beyond_limits(const Space& space, const PlanResult& result, Work& work,
                                         const SearchOptions& options) {
  ScreenOptions unlimited;
  unlimited.jobs = options.jobs;
  unlimited.limits = false;
  const std::vector<Screened> screened = screen(space, unlimited);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const Fate before = result.screened[i].fate;
    if ((before == Fate::gpu_limit || before == Fate::budget) && screened[i].fate == Fate::front) {
      order.push_back(i);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return space.cost(a) < space.cost(b); });
  for (std::size_t from = 0; from < order.size(); from += kWave) {
    std::vector<Task> tasks;
    for (std::size_t i = from; i < std::min(order.size(), from + kWave); ++i) {
      Task task;
      task.configuration = static_cast<std::uint32_t>(order[i]);
      tasks.push_back(task);
    }
    const auto outcomes = work.solve(tasks, [&](std::size_t done) {
      if (options.progress) {
        options.progress("beyond the limits", from + done, order.size());
      }
    });
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (outcomes[i].meets) {
        return tasks[i].configuration;
      }
    }
  }
  return std::nullopt;
}

Obstacle beyond(const Space& space, std::size_t index) {
  Obstacle o;
  o.closest = index;
  const PlanSpec& spec = space.spec();
  const int gpus = space.at(index).gpus();
  const bool too_many = spec.gpus && gpus > *spec.gpus;
  const bool too_dear = spec.budget && space.cost(index) > *spec.budget;
  o.limit = too_many ? "plan.gpus" : "plan.budget";
  o.finding = fmt::format(
      "no plan within {} meets the targets at {:.4g}/s",
      too_many ? fmt::format("{} GPUs", *spec.gpus) : fmt::format("{:.4g} an hour", *spec.budget),
      space.required_rate());
  if (too_many) {
    o.remedies.push_back(fmt::format("plan.gpus: {} ({})", gpus, space.label(index)));
  }
  if (too_dear) {
    o.remedies.push_back(
        fmt::format("plan.budget: {:.4g} ({})", space.cost(index), space.label(index)));
  }
  return o;
}

// The highest rate that one of the likeliest configurations reaches, and which; 0: none of them.
std::pair<double, std::size_t> reachable_rate(const Space& space, const PlanResult& result,
                                              std::vector<std::size_t> likeliest, Work& work) {
  std::stable_sort(likeliest.begin(), likeliest.end(), [&](std::size_t a, std::size_t b) {
    return result.screened[a].bounds.rate > result.screened[b].bounds.rate;
  });
  likeliest.resize(std::min(likeliest.size(), kRatesTried));
  std::vector<Task> tasks;
  for (const std::size_t index : likeliest) {
    Task task;
    task.kind = Task::Kind::capacity;
    task.configuration = static_cast<std::uint32_t>(index);
    task.high = task.guess = -1;
    tasks.push_back(task);
  }
  const auto outcomes = work.solve(tasks, [](std::size_t) {});
  std::pair<double, std::size_t> best{0, 0};
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const double rate = outcomes[i].rung >= -space.max_rung() ? space.rate(outcomes[i].rung) : 0;
    if (rate > best.first) {
      best = {rate, likeliest[i]};
    }
  }
  return best;
}

void add_rate_remedies(const Space& space, const PlanResult& result, Work& work,
                       const std::vector<std::size_t>& misses, Obstacle& o) {
  const auto [rate, index] = reachable_rate(space, result, misses, work);
  if (rate <= 0) {
    return;
  }
  o.remedies.push_back(fmt::format("a rate of at most {:.4g}/s ({})", rate, space.label(index)));
  const Configuration& c = space.at(index);
  const int replicas = static_cast<int>(std::ceil(c.data * space.required_rate() / rate));
  o.remedies.push_back(
      fmt::format("more replicas: about {} like that one ({} GPUs) would serve {:.4g}/s", replicas,
                  replicas * c.tensor * c.pipeline, space.required_rate()));
}

Obstacle missed_targets(const Space& space, const PlanResult& result, Work& work,
                        const std::vector<std::size_t>& misses) {
  Reasons reasons(space, result);
  const std::size_t closest = *std::min_element(
      misses.begin(), misses.end(),
      [&](std::size_t a, std::size_t b) { return reasons.distance(a) < reasons.distance(b); });
  reasons.measure({closest}, work);
  Obstacle o;
  o.closest = closest;
  o.finding = "closest: " + space.label(closest) + ": " + reasons.miss(closest);
  const Fate fate = reasons.fate(closest);
  const bool overloaded = fate == Fate::missed && reasons.found(closest).share() <= 1;
  if (fate == Fate::rate_bound || overloaded) {
    o.limit = "workload.arrivals";
  } else {
    const Held held = fate == Fate::missed ? reasons.found(closest) : reasons.least(closest);
    o.limit = fmt::format("slo.{}", held.name);
    o.remedies.push_back(fmt::format("slo.{}: {:.0f}ms{}", held.name, std::ceil(held.found * 1e3),
                                     fate == Fate::missed ? "" : " or more"));
  }
  if (fate != Fate::latency_bound) {
    add_rate_remedies(space, result, work, misses, o);
  } else {
    o.remedies.emplace_back(
        "faster steps: higher plan.tensor, narrower plan.weights, or another cluster");
  }
  return o;
}

std::size_t count(const PlanResult& result, Fate fate) {
  return static_cast<std::size_t>(std::count_if(result.screened.begin(), result.screened.end(),
                                                [&](const Screened& s) { return s.fate == fate; }));
}

// Nothing could even be simulated or bounded.
Obstacle not_buildable(const Space& space, const PlanResult& result) {
  Obstacle o;
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (result.screened[i].fate == Fate::memory) {
      // The last one has the most GPUs a replica and the narrowest of each axis stated last.
      o.closest = i;
    }
  }
  if (o.closest) {
    o.limit = "memory";
    o.finding = space.label(*o.closest) + ": " + memory_reason(space, *o.closest);
    o.remedies = {"higher plan.tensor or plan.pipeline", "narrower plan.weights or plan.kv_cache",
                  "GPUs with more memory"};
    return o;
  }
  Fate most = Fate::too_few_gpus;
  for (std::size_t fate = 0; fate < kFateCount; ++fate) {
    if (count(result, static_cast<Fate>(fate)) > count(result, most)) {
      most = static_cast<Fate>(fate);
    }
  }
  o.limit = "plan." + std::string(kFateNames[static_cast<std::size_t>(most)]);
  o.finding = fmt::format("{} of {} configurations: {}", count(result, most), space.size(),
                          kFateMeanings[static_cast<std::size_t>(most)]);
  o.remedies = {"other degrees, formats or clusters in the plan block"};
  return o;
}

}  // namespace

Obstacle obstacle(const Space& space, const PlanResult& result, Work& work,
                  const SearchOptions& options) {
  if (count(result, Fate::gpu_limit) + count(result, Fate::budget) > 0) {
    if (const auto index = beyond_limits(space, result, work, options)) {
      return beyond(space, *index);
    }
  }
  const Reasons reasons(space, result);
  std::vector<std::size_t> misses;
  for (std::size_t i = 0; i < space.size(); ++i) {
    if (std::get<0>(reasons.distance(i)) < 4) {
      misses.push_back(i);
    }
  }
  return misses.empty() ? not_buildable(space, result)
                        : missed_targets(space, result, work, misses);
}

}  // namespace foretoken::plan
