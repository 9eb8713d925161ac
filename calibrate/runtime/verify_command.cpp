#include "calibrate/runtime/verify_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "calibrate/calibrate.h"
#include "calibrate/runtime/engine_calibration.h"
#include "calibrate/runtime/rank_group.h"
#include "calibrate/runtime/verify.h"
#include "calibrate/runtime/wire_measurement.h"
#include "sim/cli/load.h"
#include "sim/cli/options.h"
#include "sim/config/output.h"
#include "sim/config/scenario_reader.h"

namespace foretoken::runtime {
namespace {

struct CommandOptions {
  cli::ScenarioOptions scenario;
  VerifyOptions verify;
  std::string wire, calibrate, json, page;
};

constexpr int kRounds = 3;  // more where the machine is not quiet (engine_calibration.h)

void write(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// bf16, and what the scenario's weights are stored in.
std::vector<PrecisionSpec> precisions_of(const ScenarioSpec& scenario) {
  std::vector<PrecisionSpec> precisions(1);
  if (scenario.precision.weights_default.quantised()) {
    precisions.emplace_back();
    precisions.back().weights_default = scenario.precision.weights_default;
    precisions.back().activations = scenario.precision.activations;
  }
  for (PrecisionSpec& precision : precisions) {
    precision.kv_cache = scenario.precision.kv_cache;
  }
  return precisions;
}

void calibrate_for(CommandOptions& options) {
  const ScenarioSpec scenario =
      config::read_scenario(options.scenario.file, options.scenario.overrides);
  const std::vector<PrecisionSpec> precisions = precisions_of(scenario);
  std::vector<EngineSamples> found;
  for (const bool again : {false, true}) {
    std::size_t next = 0;
    for (const ModelSpec& model : calibration_models()) {
      for (const PrecisionSpec& precision : precisions) {
        fmt::print(stderr, "calibrating{}: {} {}\n", again ? " again" : "", model.name,
                   to_string(precision.weights_default));
        EngineSamples samples = measure_engine(model, precision, scenario.parallel.tensor, kRounds);
        if (again) {
          found[next++].add_again(samples);
        } else {
          found.push_back(std::move(samples));
        }
      }
    }
  }
  Profile profile = engine_profile(together(found));
  profile.name = "verify";
  calibrate::save_profile_atomically(profile, options.calibrate);
  options.scenario.overrides.push_back("profile=" + options.calibrate);
}

// The wire as it was measured, for the reader who wonders about a collective.
std::string describe_wire(const Profile& wire) {
  std::string out =
      fmt::format("the wire as measured: {:.1f} us a message, copies at {:.0f} MB/s",
                  1e6 * wire.at("wire.latency").value, wire.at("wire.copy_bandwidth").value / 1e6);
  if (const Parameter* bandwidth = wire.find("wire.bandwidth")) {
    out += fmt::format(", {:.1f} MB/s beyond a bucket of {:.0f} KiB", bandwidth->value / 1e6,
                       wire.at("wire.bucket").value / 1024);
  }
  return out;
}

int run_verify(CommandOptions options) {
  if (!options.wire.empty()) {
    options.verify.wire = parse_wire(options.wire);
  }
  if (!options.calibrate.empty()) {
    calibrate_for(options);
  }
  const ScenarioSpec scenario =
      config::read_scenario(options.scenario.file, options.scenario.overrides);
  if (scenario.parallel.tensor > 1) {
    options.scenario.measured.push_back(
        calibrate_wire(options.verify.wire, {kBf16, scenario.precision.all_reduce}));
  } else if (options.verify.wire) {
    throw InputError("--wire: the scenario has one rank; set parallel.tensor to 2");
  }
  const auto [simulation, notes] = cli::load_simulation(options.scenario);
  VerifyReport report = verify(simulation, options.verify);
  report.notes.insert(report.notes.begin(), notes.begin(), notes.end());
  for (const Profile& wire : options.scenario.measured) {
    report.notes.push_back(describe_wire(wire));
  }
  if (options.json != "-" && options.page != "-") {
    write(text(report));
  }
  if (!options.json.empty()) {
    config::write_output(options.json, json(report, simulation.scenario()).dump(2) + "\n");
  }
  if (!options.page.empty()) {
    config::write_output(options.page, markdown(report, simulation.scenario()));
  }
  return 0;
}

}  // namespace

void add_verify(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand(
      "verify", "Predict a scenario, run it for real on this machine's cores, compare");
  const auto options = std::make_shared<CommandOptions>();
  cli::add_scenario_options(*command, options->scenario);
  command
      ->add_option("--wire", options->wire,
                   "Join two ranks through network namespaces: 1Gbit, 250Mbit, unpaced (root); "
                   "without it they use the loopback device")
      ->type_name("RATE");
  command
      ->add_option("--calibrate", options->calibrate,
                   "First measure this machine with the executor, write the profile there and "
                   "predict from it (some minutes)")
      ->type_name("PROFILE.yaml");
  command->add_option("--weights", options->verify.weights, "Checkpoint instead of random weights")
      ->type_name("FILE.safetensors");
  command->add_option("--repeats", options->verify.repeats, "Quiet runs of a batch")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--budget", options->verify.budget, "Seconds after which no further run begins")
      ->check(CLI::Range(0.0, 1e5))
      ->capture_default_str();
  command
      ->add_option("--json", options->json, "Write the comparison as JSON (- for standard output)")
      ->type_name("FILE");
  command->add_option("--page", options->page, "Write it as a page (- for standard output)")
      ->type_name("FILE.md");
  command->callback([options, &action] { action = [options] { return run_verify(*options); }; });
}

}  // namespace foretoken::runtime
