#include "sim/plan/screen.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>

#include "sim/core/error.h"
#include "sim/plan/threads.h"
#include "sim/serving/memory.h"
#include "sim/serving/placement.h"
#include "sim/serving/simulation.h"

namespace foretoken::plan {
namespace {

// Where the replicas of some degrees sit. Replicas with equal signatures take equal times.
struct Layout {
  std::vector<ReplicaPlacement> replicas;
  std::vector<int> signatures;  // a number for each replica's
  bool shares_links = false;
};
using LayoutKey = std::tuple<std::size_t, int, int, int, std::size_t>;

LayoutKey layout_key(const Configuration& c) {
  return {c.candidate, c.tensor, c.pipeline, c.data, c.order};
}

// What the step cost of one replica depends on.
using FloorKey = std::tuple<std::size_t, int, int, std::string, std::string, std::string, int>;

// Values made once each, in whatever thread asks first.
template <class Key, class Value>
class Memo {
 public:
  template <class Make>
  std::shared_ptr<const Value> get(const Key& key, Make make) {
    std::shared_ptr<Entry> entry;
    {
      const std::lock_guard lock(mutex_);
      auto& slot = entries_[key];
      slot = slot ? slot : std::make_shared<Entry>();
      entry = slot;
    }
    std::call_once(entry->once, [&] { entry->value = std::make_shared<const Value>(make()); });
    return entry->value;
  }

 private:
  struct Entry {
    std::once_flag once;
    std::shared_ptr<const Value> value;
  };
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Entry>> entries_;
};

class Screener {
 public:
  Screener(const Space& space, const ScreenOptions& options) : space_(space), options_(options) {
    for (const std::int64_t tokens : space.spec().max_num_batched_tokens) {
      max_tokens_ = std::max(max_tokens_, tokens);
    }
  }

  Screened judge(std::size_t index);
  // Equal for configurations that are simulated alike. REQUIRES: judged, and not refused.
  std::string identity(std::size_t index);

 private:
  std::optional<Fate> refused(std::size_t index) const;
  int number_of(const std::vector<double>& signature);
  std::shared_ptr<const Layout> layout(std::size_t index);
  std::optional<Bounds> least(const ScenarioSpec& scenario, const GraphBuilder& builder,
                              std::size_t index, const Layout& layout, std::int64_t kv_blocks);
  std::shared_ptr<const std::optional<StepFloor>> floor(std::size_t index,
                                                        const GraphBuilder& builder,
                                                        const Layout& layout, std::size_t replica);
  bool serves_the_longest(const ScenarioSpec& scenario, std::int64_t kv_blocks) const;

  const Space& space_;
  const ScreenOptions& options_;
  std::int64_t max_tokens_ = 1;
  std::mutex signatures_mutex_;
  std::map<std::vector<double>, int> signatures_;  // numbers in the order of asking: for equality
  Memo<LayoutKey, Layout> layouts_;
  Memo<FloorKey, std::optional<StepFloor>> floors_;  // none: the profile lacks a cost
};

std::optional<Fate> Screener::refused(std::size_t index) const {
  const Configuration& c = space_.at(index);
  const PlanSpec& spec = space_.spec();
  const std::int64_t gpus = std::int64_t{1} * c.tensor * c.pipeline * c.data;
  if (gpus > space_.candidate(index).topology->gpu_count()) {
    return Fate::too_few_gpus;
  }
  if (options_.limits && spec.gpus && gpus > *spec.gpus) {
    return Fate::gpu_limit;
  }
  if (options_.limits && spec.budget && space_.cost(index) > *spec.budget) {
    return Fate::budget;
  }
  return c.max_num_seqs > c.max_num_batched_tokens ? std::optional(Fate::layout) : std::nullopt;
}

int Screener::number_of(const std::vector<double>& signature) {
  const std::lock_guard lock(signatures_mutex_);
  return signatures_.try_emplace(signature, static_cast<int>(signatures_.size())).first->second;
}

std::shared_ptr<const Layout> Screener::layout(std::size_t index) {
  return layouts_.get(layout_key(space_.at(index)), [&] {
    const ScenarioSpec scenario = space_.scenario(index);
    const Topology& topology = *space_.candidate(index).topology;
    Layout made;
    made.replicas = place(scenario.parallel, scenario.placement, topology);
    made.shares_links = replicas_share_links(made.replicas, topology);
    for (const ReplicaPlacement& replica : made.replicas) {
      made.signatures.push_back(number_of(link_signature(replica, topology)));
    }
    return made;
  });
}

std::shared_ptr<const std::optional<StepFloor>> Screener::floor(std::size_t index,
                                                                const GraphBuilder& builder,
                                                                const Layout& layout,
                                                                std::size_t replica) {
  const Configuration& c = space_.at(index);
  const FloorKey key{c.candidate,
                     c.tensor,
                     c.pipeline,
                     to_string(c.weights) + " " + to_string(c.activations),
                     to_string(c.kv_cache),
                     c.tensor > 1 ? to_string(c.all_reduce) : "",
                     layout.signatures[replica]};
  return floors_.get(key, [&]() -> std::optional<StepFloor> {
    const Candidate& candidate = space_.candidate(index);
    StepContext context;
    context.builder = &builder;
    context.cost = candidate.cost.get();
    context.topology = candidate.topology.get();
    context.collective = collective_costs(*candidate.cost);
    context.overlap = space_.problem().scenario.engine.overlap_collectives;
    context.memory = candidate.collectives;
    try {
      return step_floor(context, layout.replicas[replica].stages, max_tokens_);
    } catch (const InputError&) {
      return std::nullopt;
    }
  });
}

// Of the fastest replica; nothing when there is no cost.
std::optional<Bounds> Screener::least(const ScenarioSpec& scenario, const GraphBuilder& builder,
                                      std::size_t index, const Layout& layout,
                                      std::int64_t kv_blocks) {
  const HostFloor host =
      host_floor(*space_.candidate(index).cost, scenario.engine, scenario.parallel.tensor);
  std::optional<Bounds> least;
  std::set<int> seen;
  for (std::size_t i = 0; i < layout.replicas.size(); ++i) {
    if (!seen.insert(layout.signatures[i]).second) {
      continue;
    }
    const auto step = floor(index, builder, layout, i);
    if (!*step) {
      return std::nullopt;
    }
    const Bounds bounds = bound(space_.demand(), **step, host, scenario, kv_blocks);
    if (!least) {
      least = bounds;
    }
    *least = {std::min(least->ttft, bounds.ttft), std::min(least->tpot, bounds.tpot),
              std::min(least->e2e, bounds.e2e), std::max(least->rate, bounds.rate)};
  }
  return least;
}

bool Screener::serves_the_longest(const ScenarioSpec& scenario, std::int64_t kv_blocks) const {
  const EngineSpec& engine = scenario.engine;
  return ceil_div(space_.demand().longest(), engine.block_size) <= kv_blocks &&
         (engine.chunked_prefill || space_.demand().longest() <= engine.max_num_batched_tokens);
}

Screened Screener::judge(std::size_t index) {
  Screened result;
  if (const auto fate = refused(index)) {
    result.fate = *fate;
    return result;
  }
  const ScenarioSpec scenario = space_.scenario(index);
  std::optional<GraphBuilder> builder;
  try {
    builder.emplace(scenario.model, scenario.precision, scenario.parallel, scenario.model_mark);
  } catch (const InputError&) {
    result.fate = Fate::layout;
    return result;
  }
  const auto where = layout(index);
  if (where->shares_links && !space_.spec().shared_links) {
    result.fate = Fate::shared_links;
    return result;
  }
  std::int64_t kv_blocks = 0;
  try {
    kv_blocks = plan_memory(*builder, space_.candidate(index).cost->profile(), scenario).blocks;
  } catch (const InputError&) {
    result.fate = Fate::memory;
    return result;
  }
  if (!serves_the_longest(scenario, kv_blocks)) {
    result.fate = Fate::memory;
    return result;
  }
  const auto bounds = least(scenario, *builder, index, *where, kv_blocks);
  if (!bounds) {
    result.fate = Fate::no_cost;
    return result;
  }
  result.bounds = *bounds;
  const double share = latency_share(space_.targets(), bounds->ttft, bounds->tpot, bounds->e2e);
  result.latency_level = latency_level(share, space_.spec().resolution);
  result.rung = space_.rung_below(bounds->rate);
  if (share > 1) {
    result.fate = Fate::latency_bound;
  } else if (result.rung < 0) {
    result.fate = Fate::rate_bound;
  }
  return result;
}

std::string Screener::identity(std::size_t index) {
  const Configuration& c = space_.at(index);
  std::string text = fmt::format("{} {} {} {} {} {} {} {} {} {} ", c.candidate, c.tensor,
                                 c.pipeline, c.data, to_string(c.weights), to_string(c.activations),
                                 to_string(c.kv_cache), c.tensor > 1 ? to_string(c.all_reduce) : "",
                                 c.max_num_seqs, c.max_num_batched_tokens);
  const auto where = layout(index);
  if (where->shares_links) {
    return text + fmt::format("order {}", c.order);
  }
  for (const int signature : where->signatures) {
    text += fmt::format("{} ", signature);
  }
  return text;
}

}  // namespace

double latency_share(const SloSpec& slo, double ttft, double tpot, double e2e) {
  double share = 0;
  const auto hold = [&](const std::optional<Time>& target, double seconds) {
    if (target) {
      share = std::max(share, seconds / to_seconds(*target));
    }
  };
  hold(slo.ttft, ttft);
  hold(slo.tpot, tpot);
  hold(slo.e2e, e2e);
  return share;
}

int latency_level(double share, double resolution) {
  return static_cast<int>(std::ceil(std::min(share / resolution, 1e6)));
}

std::vector<Screened> screen(const Space& space, const ScreenOptions& options) {
  Screener screener(space, options);
  std::vector<Screened> result(space.size());
  std::mutex mutex;
  std::size_t done = 0;
  for_each_index(space.size(), options.jobs, [&](std::size_t i) {
    result[i] = screener.judge(i);
    const std::lock_guard lock(mutex);
    ++done;
    if (options.progress) {
      options.progress(done, space.size());
    }
  });
  if (options.exhaustive) {
    for (Screened& s : result) {
      if (s.fate == Fate::latency_bound || s.fate == Fate::rate_bound) {
        s.fate = Fate::front;
      }
    }
    return result;
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i].fate == Fate::front && !seen.insert(screener.identity(i)).second) {
      result[i].fate = Fate::duplicate;
    }
  }
  return result;
}

}  // namespace foretoken::plan
