// foretoken explain: where the time of one scenario goes, or the difference of two.
#include <cstdio>
#include <memory>

#include "reports/explain_report.h"
#include "reports/run_page.h"
#include "reports/run_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/options.h"
#include "sim/cli/progress.h"
#include "sim/config/output.h"

namespace foretoken::cli {
namespace {

struct ExplainOptions {
  ScenarioOptions scenario;
  std::string other;  // a second scenario
  std::string json, html;
};

reports::Explanation explain_one(const Simulation& simulation) {
  Progress requests("requests");
  RunOptions run;
  run.replications = 0;
  run.requests = [&](std::int64_t done, std::int64_t total) { requests.update(done, total); };
  return reports::explain(simulation, simulate(simulation, run));
}

void print(const std::vector<std::string>& notes, const std::string& text) {
  std::string out;
  for (const std::string& note : notes) {
    out += reports::wrap("warning: " + note, 9);
  }
  out += text;
  std::fwrite(out.data(), 1, out.size(), stdout);
}

int run_explain(const ExplainOptions& options) {
  Loader loader;
  const Simulation simulation = loader.load(read_scenario(options.scenario));
  const reports::Explanation explanation = explain_one(simulation);
  std::string text;
  nlohmann::ordered_json json;
  page::Document page;
  if (options.other.empty()) {
    text = reports::text(simulation, explanation);
    json = reports::json(simulation, explanation);
    page = reports::explain_page(simulation, explanation, loader.notes());
  } else {
    ScenarioOptions second = options.scenario;
    second.file = options.other;
    const Simulation other = loader.load(read_scenario(second));
    const reports::Explanation of_other = explain_one(other);
    const reports::Explained a{simulation, explanation}, b{other, of_other};
    text = reports::difference_text(a, b);
    json = reports::difference_json(a, b);
    page = reports::difference_page(a, b, loader.notes());
  }
  if (options.json != "-" && options.html != "-") {
    print(loader.notes(), text);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, json.dump(2) + "\n");
  }
  if (!options.html.empty()) {
    write_page(options.html, page);
  }
  return 0;
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("explain", "Where the TTFT and the time per token go, term by term");
  const auto options = std::make_shared<ExplainOptions>();
  add_scenario_options(*command, options->scenario);
  command
      ->add_option("other", options->other,
                   "A second scenario: the difference to the first, term by term; --set and --seed "
                   "hold for both")
      ->type_name("SCENARIO");
  add_json_option(*command, options->json);
  add_html_option(*command, options->html);
  command->callback([options, &action] { action = [options] { return run_explain(*options); }; });
}

}  // namespace foretoken::cli
