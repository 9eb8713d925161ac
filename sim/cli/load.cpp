#include "sim/cli/load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "sim/config/cluster_reader.h"
#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"
#include "sim/config/scenario_reader.h"
#include "sim/config/trace_reader.h"

namespace foretoken::cli {
namespace {

// The profiles a scenario names, or the cluster's own, lowest first.
std::vector<std::string> default_profile(const ClusterSpec& cluster) {
  const auto path = config::find_file(
      cluster.profile, std::filesystem::path(cluster.file).parent_path(), "calibrate/profiles");
  if (path.empty()) {
    throw InputError(cluster.profile_mark, "profile",
                     cluster.profile.empty()
                         ? "neither the cluster nor the scenario names one; add it (see `foretoken "
                           "list profiles`)"
                         : config::not_found(cluster.profile, "calibrate/profiles"));
  }
  return {path.string()};
}

std::vector<std::string> profile_paths(const ScenarioSpec& scenario, const ClusterSpec& cluster) {
  return scenario.profiles.value.empty() ? default_profile(cluster) : scenario.profiles.value;
}

// A measured profile that came with the program was measured on somebody else's machine.
bool is_shipped(const std::string& path) {
  std::error_code error;
  const auto folder =
      std::filesystem::weakly_canonical(config::data_root() / "calibrate" / "profiles", error);
  return !error && std::filesystem::weakly_canonical(path, error).parent_path() == folder;
}

Profile load_profile(const std::vector<std::string>& paths, std::vector<std::string>& notes) {
  Profile stacked;
  for (const std::string& path : paths) {
    const Profile profile = config::read_profile(path);
    if (!profile.fingerprint.empty() && is_shipped(path)) {
      notes.push_back(
          fmt::format("profile {} was measured on another machine ({}); for this one run "
                      "`foretoken calibrate`",
                      profile.name, profile.device));
    }
    stacked.override_with(profile);
  }
  return stacked;
}

}  // namespace

ScenarioSpec read_scenario(const ScenarioOptions& options, const std::vector<std::string>& varied) {
  ScenarioSpec scenario = config::read_scenario(options.file, options.overrides, varied);
  if (options.seed) {
    scenario.seed = *options.seed;
  }
  return scenario;
}

const Profile& Loader::profile(const Paths& paths) {
  const auto it = profiles_.find(paths);
  if (it != profiles_.end()) {
    return it->second;
  }
  Profile stacked = load_profile(paths, notes_);
  for (const Profile& measured : measured_) {
    stacked.override_with(measured);
  }
  return profiles_.emplace(paths, std::move(stacked)).first->second;
}

const Trace& Loader::trace(const std::string& path) {
  const auto it = traces_.find(path);
  return it != traces_.end() ? it->second
                             : traces_.emplace(path, config::read_trace(path)).first->second;
}

Workload Loader::workload(const ScenarioSpec& scenario) {
  const ArrivalSpec& arrivals = scenario.workload.arrivals;
  const LengthSpec& lengths = scenario.workload.lengths;
  const Trace* arrival_trace =
      arrivals.kind == ArrivalSpec::Kind::trace ? &trace(arrivals.trace) : nullptr;
  const Trace* length_trace =
      lengths.kind == LengthSpec::Kind::trace ? &trace(lengths.trace) : arrival_trace;
  return make_workload(scenario.workload, arrival_trace, length_trace, scenario.seed);
}

Simulation Loader::load(const ScenarioSpec& scenario) {
  const std::lock_guard lock(mutex_);
  ClusterSpec cluster = config::read_cluster(scenario.cluster);
  const Paths paths = profile_paths(scenario, cluster);
  Workload requests = workload(scenario);
  Simulation simulation(scenario, Topology(std::move(cluster)), profile(paths),
                        std::move(requests));
  auto& memory = collectives_[{scenario.cluster, paths}];
  if (memory == nullptr) {
    memory = std::make_shared<CollectiveMemory>();
  }
  simulation.share_collectives(memory);
  return simulation;
}

namespace {

// The scenario's own cluster, where the plan block names none. The scenario's profile is that of a
// single cluster: of several it would be wrong for all but one.
std::vector<PlanCluster> clusters_to_choose(const ScenarioSpec& scenario) {
  std::vector<PlanCluster> clusters;
  if (scenario.plan) {
    clusters = scenario.plan->clusters;
  }
  if (clusters.empty()) {
    clusters.emplace_back().cluster = scenario.cluster;
  }
  if (clusters.size() == 1 && clusters.front().profiles.empty()) {
    clusters.front().profiles = scenario.profiles.value;
  } else if (!scenario.profiles.value.empty()) {
    throw InputError(scenario.profiles.mark, "profile",
                     "several clusters are to be planned for; state profile with each cluster in "
                     "plan.clusters");
  }
  return clusters;
}

}  // namespace

namespace {

bool rests_on_assumptions(const Profile& profile) {
  return std::any_of(profile.parameters.begin(), profile.parameters.end(), [](const auto& entry) {
    return entry.second.provenance == Provenance::assumed;
  });
}

}  // namespace

plan::Problem Loader::load_problem(const ScenarioSpec& scenario) {
  const std::lock_guard lock(mutex_);
  plan::Problem problem;
  problem.scenario = scenario;
  problem.workload = workload(scenario);
  std::vector<std::string> assumed;
  for (const PlanCluster& choice : clusters_to_choose(scenario)) {
    ClusterSpec cluster = config::read_cluster(choice.cluster);
    const Paths paths = choice.profiles.empty() ? default_profile(cluster) : choice.profiles;
    if (rests_on_assumptions(profile(paths))) {
      assumed.push_back(cluster.name);
    }
    problem.candidates.push_back(
        {std::make_shared<const Topology>(std::move(cluster)),
         std::make_shared<const CostModel>(with_host_times(profile(paths), scenario.engine)),
         choice.gpu_hour.value_or(scenario.gpu_hour)});
  }
  if (!assumed.empty()) {
    notes_.push_back(fmt::format(
        "step times on {} rest partly on assumed numbers, not on measurements; `foretoken "
        "explain` of a plan shows which",
        fmt::join(assumed, ", ")));
  }
  return problem;
}

Loaded load_simulation(const ScenarioOptions& options) {
  Loader loader(options.measured);
  Simulation simulation = loader.load(read_scenario(options));
  return {std::move(simulation), loader.notes()};
}

LoadedProblem load_problem(const ScenarioOptions& options) {
  Loader loader(options.measured);
  plan::Problem problem = loader.load_problem(read_scenario(options));
  return {std::move(problem), loader.notes()};
}

Profile load_device_profile(const std::vector<std::string>& names, const ClusterSpec& cluster) {
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    const auto path = config::find_file(name, {}, "calibrate/profiles");
    if (path.empty()) {
      throw InputError("--profile: " + config::not_found(name, "calibrate/profiles"));
    }
    paths.push_back(path.string());
  }
  std::vector<std::string> notes;
  Profile profile = load_profile(paths.empty() ? default_profile(cluster) : paths, notes);
  for (const std::string& note : notes) {
    fmt::print(stderr, "note: {}\n", note);
  }
  return profile;
}

Topology load_topology(const std::string& name) {
  const auto path = config::find_file(name, {}, "topologies");
  if (path.empty()) {
    throw InputError(config::not_found(name, "topologies"));
  }
  return Topology(config::read_cluster(path.string()));
}

}  // namespace foretoken::cli
