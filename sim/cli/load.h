// From a scenario file to a simulation that is ready to run, or a plan to search: reads everything
// the scenario names.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/plan/space.h"
#include "sim/serving/simulation.h"

namespace foretoken::cli {

// Options that commands working on a scenario share.
struct ScenarioOptions {
  std::string file;
  std::vector<std::string> overrides;  // key=value
  std::optional<std::uint64_t> seed;
  std::vector<Profile> measured;  // stacked over the scenario's profiles: what was just measured
};

// `varied`: further "key=value", of --vary.
ScenarioSpec read_scenario(const ScenarioOptions& options,
                           const std::vector<std::string>& varied = {});

// Makes simulations. What several of them share, profiles, traces and the durations of collectives,
// is read and found once. Safe to call from several threads.
class Loader {
 public:
  // `measured`: stacked over the profiles that every scenario names.
  explicit Loader(std::vector<Profile> measured = {}) : measured_(std::move(measured)) {}

  Simulation load(const ScenarioSpec& scenario);
  plan::Problem load_problem(const ScenarioSpec& scenario);
  // What the reader should know about the inputs, a line each.
  std::vector<std::string> notes() const { return notes_; }

 private:
  using Paths = std::vector<std::string>;
  const Profile& profile(const Paths& paths);
  const Trace& trace(const std::string& path);
  Workload workload(const ScenarioSpec& scenario);

  std::vector<Profile> measured_;
  std::mutex mutex_;
  std::map<Paths, Profile> profiles_;
  std::map<std::string, Trace> traces_;
  // By cluster and profiles.
  std::map<std::pair<std::string, Paths>, std::shared_ptr<CollectiveMemory>> collectives_;
  std::vector<std::string> notes_;
};

struct Loaded {
  Simulation simulation;
  std::vector<std::string> notes;
};
Loaded load_simulation(const ScenarioOptions& options);

struct LoadedProblem {
  plan::Problem problem;
  std::vector<std::string> notes;
};
LoadedProblem load_problem(const ScenarioOptions& options);

// The named profiles stacked, later over earlier; the cluster's default when none is named.
Profile load_device_profile(const std::vector<std::string>& names, const ClusterSpec& cluster);
Topology load_topology(const std::string& name);

}  // namespace foretoken::cli
