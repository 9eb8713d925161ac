#include <cstdio>
#include <memory>

#include "reports/run_page.h"
#include "reports/run_report.h"
#include "reports/trace_report.h"
#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/options.h"
#include "sim/cli/progress.h"
#include "sim/config/output.h"
#include "sim/core/quantity.h"

namespace foretoken::cli {
namespace {

struct SimulateOptions {
  ScenarioOptions scenario;
  RunOptions run;
  std::string json, csv, html, trace;
  std::string window;  // of the trace, "10s..10.5s"
};

// Events of a trace: what the viewers load in a moment, and what they load at all.
constexpr std::size_t kDefaultTraceEvents = 60'000;
constexpr std::size_t kMostTraceEvents = 2'000'000;

std::optional<TraceWindow> parse_window(const std::string& text) {
  if (text.empty()) {
    return std::nullopt;
  }
  const std::size_t dots = text.find("..");
  const auto part = [&](std::size_t begin, std::size_t count) {
    const ParsedQuantity time =
        parse_quantity(std::string_view(text).substr(begin, count), Unit::time);
    if (!time.value || *time.value < 0) {
      throw InputError(
          fmt::format("--trace-window: \"{}\" is not a stretch of time such as 10s..10.5s", text));
    }
    return time_from_seconds(*time.value);
  };
  const TraceWindow window{part(0, dots),
                           dots == std::string::npos ? kTimeZero : part(dots + 2, text.size()),
                           kMostTraceEvents};
  if (window.until <= window.from) {
    throw InputError(fmt::format("--trace-window: \"{}\" holds no time; state FROM..TO", text));
  }
  return window;
}

// The run once more, with every operator of the stretch; by default from the arrival of the middle
// request on.
std::string write_trace(const SimulateOptions& options, const Simulation& simulation,
                        const RunRecord& record, const std::optional<TraceWindow>& window) {
  const auto& requests = record.requests;
  Recording recording{.timeline = true, .trace = window};
  if (!window) {
    const Time middle = requests.empty() ? kTimeZero : requests[requests.size() / 2].arrival;
    recording.trace = TraceWindow{middle, kTimeNever, kDefaultTraceEvents};
  }
  const RunRecord traced = simulation.run(CostDraw(), options.run.exact, recording);
  if (traced.trace.stages.empty()) {
    throw InputError(fmt::format("--trace-window: no step begins in {}; the run ends at {:.6g}s",
                                 options.window.empty() ? "the second half" : options.window,
                                 to_seconds(traced.end)));
  }
  config::write_output(options.trace, reports::trace_json(simulation, traced));
  return reports::trace_summary(traced);
}

int run_simulate(const SimulateOptions& options) {
  const std::optional<TraceWindow> window = parse_window(options.window);
  const auto [simulation, notes] = load_simulation(options.scenario);
  RunOptions run = options.run;
  run.recording.timeline = !options.html.empty();
  Result result;
  {
    Progress requests("requests"), replications("replications");
    run.requests = [&](std::int64_t done, std::int64_t total) { requests.update(done, total); };
    run.progress = [&](int done, int total) { replications.update(done, total); };
    result = simulate(simulation, run);
  }
  auto warnings = reports::warnings(simulation, result);
  warnings.insert(warnings.begin(), notes.begin(), notes.end());
  // A document on standard output stands there alone, so that it can be piped.
  const bool quiet =
      options.json == "-" || options.csv == "-" || options.html == "-" || options.trace == "-";
  if (!quiet) {
    const std::string text = reports::text(simulation, result, warnings);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, reports::json(simulation, result, warnings).dump(2) + "\n");
  }
  if (!options.csv.empty()) {
    config::write_output(options.csv, reports::csv(result.record));
  }
  if (!options.html.empty()) {
    Progress progress("loads");
    const auto update = [&](int done, int total) { progress.update(done, total); };
    const LoadSweep sweep = sweep_load(simulation, run.threads, update);
    write_page(options.html, reports::run_page(simulation, result, warnings, sweep));
  }
  if (!options.trace.empty()) {
    const std::string shown = write_trace(options, simulation, result.record, window);
    if (!quiet) {
      fmt::print("Trace:                   {}\n", shown);
    }
  }
  return 0;
}

}  // namespace

void add_simulate(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("simulate", "Predict TTFT, time per token and throughput");
  const auto options = std::make_shared<SimulateOptions>();
  add_scenario_options(*command, options->scenario);
  add_json_option(*command, options->json);
  command->add_option("--csv", options->csv, "Write one line per request (- for standard output)")
      ->type_name("FILE");
  add_html_option(*command, options->html);
  auto* trace =
      command
          ->add_option("--trace", options->trace,
                       "Write a stretch of the run as a Chrome trace, for ui.perfetto.dev")
          ->type_name("FILE");
  command
      ->add_option("--trace-window", options->window,
                   "Which stretch, in simulated time, such as 10s..10.5s; by default from the "
                   "arrival of the middle request on")
      ->needs(trace)
      ->type_name("FROM..TO");
  add_run_options(*command, options->run.replications, options->run.threads);
  command->add_flag("--exact", options->run.exact,
                    "Simulate every operator of every layer; remember nothing");
  command->callback([options, &action] { action = [options] { return run_simulate(*options); }; });
}

}  // namespace foretoken::cli
