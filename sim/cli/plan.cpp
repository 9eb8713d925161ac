#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "reports/plan_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/progress.h"
#include "sim/config/output.h"
#include "sim/plan/evaluate.h"
#include "sim/plan/search.h"

namespace foretoken::cli {
namespace {

struct PlanOptions {
  ScenarioOptions scenario;
  plan::SearchOptions search;
  std::string json;
};

constexpr int kInfeasible = 3;

int run_plan(const PlanOptions& options) {
  const auto [problem, notes] = load_problem(options.scenario);
  const plan::Space space(problem);
  plan::ThreadRunner runner(space, options.search.jobs);
  const plan::PlanResult result = [&] {
    PhasedProgress progress;
    plan::SearchOptions search = options.search;
    search.progress = [&](const char* what, std::size_t done, std::size_t total) {
      progress.update(what, static_cast<int>(done), static_cast<int>(total));
    };
    return plan::search(space, runner, nullptr, search);
  }();
  if (options.json != "-") {
    const std::string text = reports::text(space, result, notes);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, reports::json(space, result, notes).dump(2) + "\n");
  }
  return result.front.empty() ? kInfeasible : 0;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "plan", "How many GPUs, laid out how: search deployments under the targets of `slo:`");
  const auto options = std::make_shared<PlanOptions>();
  add_scenario_options(*command, options->scenario);
  command->add_option("--jobs", options->search.jobs, "Threads; 0: all cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command
      ->add_option("--replications", options->search.replications,
                   "Runs with drawn costs of each plan shown, for the intervals; 0: none")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  command->add_option("--rows", options->search.rows, "Plans of the front to show")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--exhaustive", options->search.exhaustive,
                    "Simulate every configuration that can be built: slow; checks the pruning");
  command->add_option("--json", options->json, "Write the answer as JSON (- for standard output)")
      ->type_name("FILE");
  command->callback([options, &action] { action = [options] { return run_plan(*options); }; });
}

}  // namespace foretoken::cli
