// foretoken compare: one scenario under every combination of values, side by side.
#include <cstdio>
#include <memory>

#include "reports/compare_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/options.h"
#include "sim/cli/progress.h"
#include "sim/config/accuracy_reader.h"
#include "sim/config/output.h"
#include "sim/config/paths.h"

namespace foretoken::cli {
namespace {

constexpr const char* kAccuracyFolder = "calibrate/quality";

struct CompareOptions {
  ScenarioOptions scenario;
  std::vector<std::string> vary;
  std::vector<std::string> accuracy;
  ErrorProbeOptions probe;
  SweepOptions sweep;
  bool no_error = false;
  std::string json, csv, html;
};

// Every combination as the reader sees it. A value that it refuses ends the command before anything
// is simulated: the message names the key and the value.
std::vector<ScenarioSpec> read_combinations(const CompareOptions& options,
                                            const std::vector<VaryKey>& keys) {
  std::vector<ScenarioSpec> scenarios;
  for (const auto& combination : cross_product(keys)) {
    const auto varied = assignments(keys, combination);
    try {
      scenarios.push_back(read_scenario(options.scenario, varied));
    } catch (const InputError& error) {
      if (std::string_view(error.what()).starts_with("--vary ")) {
        throw;
      }
      throw InputError(fmt::format("--vary {}: {}", fmt::join(varied, " "), error.what()));
    }
  }
  return scenarios;
}

std::vector<PublishedAccuracy> read_accuracy(const std::vector<std::string>& files) {
  std::vector<PublishedAccuracy> rows;
  const auto shipped = config::find_file("published-accuracy", {}, kAccuracyFolder);
  if (!shipped.empty()) {
    rows = config::read_accuracy(shipped.string());
  }
  for (const std::string& file : files) {
    const auto own = config::read_accuracy(file);
    rows.insert(rows.end(), own.begin(), own.end());
  }
  return rows;
}

int run_compare(const CompareOptions& options, const MakeErrorProbe& make_probe) {
  reports::Comparison comparison;
  comparison.keys.reserve(options.vary.size());
  for (const std::string& vary : options.vary) {
    comparison.keys.push_back(parse_vary(vary));
  }
  comparison.scenario = read_scenario(options.scenario);
  comparison.accuracy = read_accuracy(options.accuracy);
  const std::vector<ScenarioSpec> scenarios = read_combinations(options, comparison.keys);
  std::unique_ptr<ErrorProbe> probe;
  if (make_probe && !options.no_error) {
    probe = make_probe(options.probe);
  }
  Loader loader;
  SweepOptions sweep_options = options.sweep;
  {
    Progress progress("runs");
    sweep_options.progress = [&](int done, int total) { progress.update(done, total); };
    comparison.rows = sweep(
        comparison.keys, [&](std::size_t row) { return loader.load(scenarios[row]); },
        sweep_options);
  }
  if (probe) {
    Progress progress("numeric errors of rows");
    probe_errors(comparison.rows, *probe,
                 [&](int done, int total) { progress.update(done, total); });
    comparison.error_data = probe->data();
  }
  comparison.replications = sweep_options.replications;
  comparison.notes = loader.notes();
  if (options.json != "-" && options.csv != "-" && options.html != "-") {
    const std::string text = reports::text(comparison);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, reports::json(comparison).dump(1) + "\n");
  }
  if (!options.csv.empty()) {
    config::write_output(options.csv, reports::csv(comparison));
  }
  if (!options.html.empty()) {
    write_page(options.html, reports::page_of(comparison));
  }
  const bool feasible = std::any_of(comparison.rows.begin(), comparison.rows.end(),
                                    [](const SweepRow& row) { return row.reason.empty(); });
  return feasible ? 0 : 3;
}

}  // namespace

void add_compare(CLI::App& app, Action& action, const MakeErrorProbe& make_probe) {
  auto* command = app.add_subcommand(
      "compare", "A scenario under every combination of some values, with numeric errors");
  const auto options = std::make_shared<CompareOptions>();
  add_scenario_options(*command, options->scenario);
  command
      ->add_option("--vary", options->vary,
                   "Values of one key, such as --vary precision.all_reduce=bf16,int8,int4; repeat "
                   "it for every combination of several keys")
      ->required()
      ->take_all()
      ->expected(1)
      ->type_name("KEY=VALUE,...");
  add_run_options(*command, options->sweep.replications, options->sweep.threads);
  command
      ->add_option("--weights", options->probe.weights,
                   "Measure errors on these weights, a matrix [n][k] (.npy, or .safetensors with "
                   "the tensor's name after a colon), instead of synthetic ones")
      ->type_name("FILE[:TENSOR]");
  command
      ->add_option("--activations", options->probe.activations,
                   "Measure errors on these activations, [tokens][k], for GEMMs and all-reduces")
      ->type_name("FILE[:TENSOR]");
  command->add_flag("--no-error", options->no_error, "Measure no numeric errors");
  command
      ->add_option("--accuracy", options->accuracy,
                   "Further published accuracy, a file like "
                   "calibrate/quality/published-accuracy.yaml; may be repeated")
      ->expected(1)
      ->take_all()
      ->type_name("FILE");
  add_json_option(*command, options->json);
  command->add_option("--csv", options->csv, "Write a line per row as CSV (- for standard output)")
      ->type_name("FILE");
  add_html_option(*command, options->html);
  command->callback([options, &action, make_probe] {
    options->probe.seed = options->scenario.seed.value_or(1);
    action = [options, make_probe] { return run_compare(*options, make_probe); };
  });
}

}  // namespace foretoken::cli
