// What is known of a configuration before any simulation: whether it can be built at all, and the
// bounds of its latencies and rate.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/plan/space.h"

namespace foretoken::plan {

// What became of a configuration. The first group needs neither bounds nor simulation.
enum class Fate : std::uint8_t {
  too_few_gpus,   // the cluster has fewer GPUs
  gpu_limit,      // more GPUs than plan.gpus
  budget,         // costs more than plan.budget
  layout,         // degrees, formats or limits do not go together
  duplicate,      // the same deployment as an earlier configuration
  shared_links,   // replicas share links, and plan.shared_links is off
  memory,         // weights, activations and the longest request leave too little for the KV cache
  no_cost,        // the profile has no cost of a format
  latency_bound,  // no target can be met even by a lone request
  rate_bound,     // the required rate is more than it can compute
  dominated,      // cannot be better in anything than a plan already simulated
  missed,         // simulated: misses a target at the required rate
  beaten,         // simulated: meets the targets, and another plan is better in everything
  front           // simulated: no other plan is better in everything
};
inline constexpr std::size_t kFateCount = 14;
inline constexpr std::array<std::string_view, kFateCount> kFateNames{
    "too_few_gpus", "gpu_limit", "budget",  "layout",        "duplicate",
    "shared_links", "memory",    "no_cost", "latency_bound", "rate_bound",
    "dominated",    "missed",    "beaten",  "front"};
inline constexpr std::array<std::string_view, kFateCount> kFateMeanings{
    "the cluster has fewer GPUs",
    "more GPUs than plan.gpus",
    "costs more than plan.budget",
    "degrees, formats or limits do not go together",
    "the same deployment as an earlier configuration",
    "replicas share links (plan.shared_links: true simulates them)",
    "does not fit in memory",
    "the profile has no cost of a format",
    "bound: misses a latency target even unloaded",
    "bound: cannot compute the required rate",
    "bound: no better than a plan already simulated",
    "simulated: misses a target",
    "simulated: another plan is at least as good in everything",
    "simulated: on the front"};

struct Screened {
  Fate fate = Fate::front;  // `front`: to be simulated
  Bounds bounds;
  int latency_level = 0;  // at least
  int rung = 0;           // at most; of Space::rate
};

struct ScreenOptions {
  int jobs = 0;
  bool limits = true;       // plan.gpus and plan.budget
  bool exhaustive = false;  // simulate all that can be: neither duplicates nor bounds are left out
  std::function<void(std::size_t done, std::size_t total)> progress;
};

// One entry per configuration. Does not depend on the number of jobs.
std::vector<Screened> screen(const Space& space, const ScreenOptions& options);

// Latency as a share of its target, the worst of those stated; 1 is at the limit.
double latency_share(const SloSpec& slo, double ttft, double tpot, double e2e);  // seconds
// In steps of the resolution, rounded up: shares of one step count as equal.
int latency_level(double share, double resolution);

}  // namespace foretoken::plan
