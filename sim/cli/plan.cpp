#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "reports/plan_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/options.h"
#include "sim/cli/plan_command.h"
#include "sim/cli/progress.h"
#include "sim/config/output.h"
#include "sim/core/error.h"
#include "sim/plan/evaluate.h"
#include "sim/plan/fingerprint.h"
#include "sim/plan/search.h"
#if FORETOKEN_HAVE_SQLITE
#include "sim/store/sqlite_store.h"
#endif

namespace foretoken::cli {
namespace {

constexpr int kInfeasible = 3;

std::unique_ptr<plan::OutcomeStore> open_store(const PlanOptions& options,
                                               [[maybe_unused]] const plan::Space& space) {
  if (options.db.empty()) {
    if (options.resume) {
      throw InputError("--resume goes on with a database; name it with --db FILE");
    }
    return nullptr;
  }
#if FORETOKEN_HAVE_SQLITE
  return std::make_unique<store::SqliteStore>(
      options.db, plan::fingerprint(space, FORETOKEN_VERSION), options.resume);
#else
  throw InputError("--db: this program was built without SQLite (libsqlite3-dev); leave --db out");
#endif
}

}  // namespace

int run_plan(const PlanOptions& options, const plan::Space& space,
             const std::vector<std::string>& notes, plan::TaskRunner& runner) {
  const auto store = open_store(options, space);
  const plan::PlanResult result = [&] {
    PhasedProgress progress;
    plan::SearchOptions search = options.search;
    search.progress = [&](const char* what, std::size_t done, std::size_t total) {
      progress.update(what, static_cast<int>(done), static_cast<int>(total));
    };
    return plan::search(space, runner, store.get(), search);
  }();
  if (options.json != "-" && options.html != "-") {
    const std::string text = reports::text(space, result, notes);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, reports::json(space, result, notes).dump(2) + "\n");
  }
  if (!options.html.empty()) {
    write_page(options.html, reports::page_of(space, result, notes));
  }
  return result.front.empty() ? kInfeasible : 0;
}

void add_plan_options(CLI::App& command, PlanOptions& options) {
  add_scenario_options(command, options.scenario);
  command.add_option("--jobs", options.search.jobs, "Threads; 0: all cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command
      .add_option("--replications", options.search.replications,
                  "Runs with drawn costs of each plan shown, for the intervals; 0: none")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  command.add_option("--rows", options.search.rows, "Plans of the front to show")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_flag("--exhaustive", options.search.exhaustive,
                   "Simulate every configuration that can be built: slow; checks the pruning");
  add_json_option(command, options.json);
  add_html_option(command, options.html);
  command.add_option("--db", options.db, "Keep every result in this SQLite file as it comes")
      ->type_name("FILE");
  command.add_flag("--resume", options.resume, "Go on with the results that --db holds");
}

void add_plan(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "plan", "How many GPUs, laid out how: search deployments under the targets of `slo:`");
  const auto options = std::make_shared<PlanOptions>();
  add_plan_options(*command, *options);
  command->callback([options, &action] {
    action = [options] {
      const auto [problem, notes] = load_problem(options->scenario);
      const plan::Space space(problem);
      plan::ThreadRunner runner(space, options->search.jobs);
      return run_plan(*options, space, notes, runner);
    };
  });
}

}  // namespace foretoken::cli
