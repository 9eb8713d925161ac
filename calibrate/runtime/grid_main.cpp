// Predicts and executes a grid of cases and writes the page:
//
//   verify_grid FOLDER [--seed N] [--cases N] [--seconds S] [--page F.md]
//
// Calibrates first. Every piece of work leaves a file in FOLDER and is not done again, so that the
// program may be stopped (--seconds) and started again. The page is written when all is there, of
// what is there otherwise.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "calibrate/bench/timing.h"
#include "calibrate/runtime/engine_calibration.h"
#include "calibrate/runtime/grid.h"
#include "calibrate/runtime/grid_page.h"
#include "calibrate/runtime/rank_group.h"
#include "calibrate/runtime/verify.h"
#include "calibrate/runtime/wire_measurement.h"
#include "sim/cli/load.h"
#include "sim/config/output.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"

namespace foretoken::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 3;  // more where the machine is not quiet (engine_calibration.h)
constexpr int kRoundsAgain = 1;
constexpr double kBudget = 25;  // s a case
constexpr double kStreamBudget = 60;
constexpr const char* kScenario = "scenarios/verify.yaml";

struct GridOptions {
  std::string folder, page;
  std::uint64_t seed = 1;
  int cases = 48;
  double seconds = 1e9;
};

std::string file_name(std::string text) {
  for (char& c : text) {
    c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '-';
  }
  return text;
}

class Grid {
 public:
  explicit Grid(GridOptions options) : options_(std::move(options)), folder_(options_.folder) {
    fs::create_directories(folder_);
    for (const std::string& wire : grid_all_reduces()) {
      wire_formats_.push_back(parse_format(wire, FormatRole::wire));
    }
    cases_ = draw_cases(options_.seed, options_.cases);
    wires_ = grid_wires();
  }

  int run() {
    // Should time be up early: some drawn cases first, then what shows one thing each.
    const std::size_t drawn = static_cast<std::size_t>(options_.cases);
    const bool done = calibrate() && measure_wires() && add_chosen_cases() && measure_wires() &&
                      run_cases(0, drawn / 2) && run_cases(drawn, cases_.size()) && run_streams() &&
                      run_cases(drawn / 2, drawn);
    if (!options_.page.empty()) {
      config::write_output(options_.page, page());
    }
    fmt::print(stderr, "{}\n", done ? "all there" : "time is up: start again for the rest");
    return 0;
  }

 private:
  bool time_left() const { return calibrate::now_seconds() - start_ < options_.seconds; }

  nlohmann::json read(const fs::path& path) const {
    std::ifstream file(path);
    return nlohmann::json::parse(file);
  }
  // False: no time was left.
  bool once(const fs::path& path, const std::function<nlohmann::json()>& work) const {
    if (fs::exists(path)) {
      return true;
    }
    if (!time_left()) {
      return false;
    }
    fmt::print(stderr, "{}\n", path.filename().string());
    config::write_output(path.string(), work().dump(1) + "\n");
    return true;
  }

  // Everything twice, half of the calibration apart: what moves meanwhile belongs into intervals.
  bool calibrate() {
    std::map<int, std::vector<EngineSamples>> found;
    for (const char* visit : {"first", "again"}) {
      for (int tensor = 1; tensor <= 2; ++tensor) {
        if (!visit_models(visit, tensor, found[tensor])) {
          return false;
        }
      }
    }
    for (const auto& [tensor, list] : found) {
      const std::string profile = profile_path(tensor);
      if (!fs::exists(profile)) {
        Profile made = engine_profile(together(list));
        made.name = fs::path(profile).stem();
        config::save_profile(made, profile);
      }
    }
    return true;
  }
  bool visit_models(const std::string& visit, int tensor, std::vector<EngineSamples>& found) {
    const int rounds = std::string_view(visit) == "first" ? kRounds : kRoundsAgain;
    std::size_t next = 0;
    for (const ModelSpec& model : calibration_models()) {
      for (const PrecisionSpec& precision : calibration_precisions()) {
        const fs::path path =
            folder_ / file_name(fmt::format("samples {} {} {} {}", visit, tensor, model.name,
                                            to_string(precision.weights_default)));
        if (!once(path,
                  [&] { return to_json(measure_engine(model, precision, tensor, rounds)); })) {
          return false;
        }
        EngineSamples samples = samples_from_json(read(path));
        if (next < found.size()) {
          found[next].add_again(samples);
        } else {
          found.push_back(std::move(samples));
        }
        ++next;
      }
    }
    return true;
  }
  std::string profile_path(int tensor) const {
    return (folder_ / fmt::format("ranks{}.yaml", tensor)).string();
  }

  static std::optional<std::string> wire_of(const std::string& wire) {
    return wire == "unpaced" ? std::nullopt : std::optional(parse_wire(wire));
  }
  std::string wire_path(const std::string& wire) const {
    return (folder_ / fmt::format("wire-{}.yaml", wire)).string();
  }
  bool measure_wires() {
    for (const std::string& wire : wires_) {
      if (fs::exists(wire_path(wire))) {
        continue;
      }
      if (!time_left()) {
        return false;
      }
      Profile profile = calibrate_wire(wire_of(wire), wire_formats_);
      profile.name = "wire-" + wire;
      config::save_profile(profile, wire_path(wire));
    }
    return true;
  }

  // How slow the slow wire has to be depends on how fast this machine computes.
  bool add_chosen_cases() {
    const fs::path path = folder_ / "slow-wire.json";
    if (!once(path, [&] { return nlohmann::json{{"wire", slow_wire()}}; })) {
      return false;
    }
    const std::string wire = read(path).at("wire");
    const std::vector<GridCase> chosen = chosen_cases(wire);
    cases_.insert(cases_.end(), chosen.begin(), chosen.end());
    wires_.push_back(wire);
    return true;
  }
  std::string slow_wire() const {
    constexpr double kShare = 0.72;  // of communication, the middle of 65 to 80 %
    const auto step = [&](const char* wire) {
      const auto loaded = cli::load_simulation(scenario(talkative_case(wire, "bf16")));
      const FamilySeconds prefill = predict(loaded.simulation).prefill;
      PacedStep paced;
      paced.rate = config::read_profile(wire_path(wire)).at("wire.bandwidth").value;
      paced.communication = prefill[static_cast<std::size_t>(OpFamily::collective)];
      paced.other = std::accumulate(prefill.begin(), prefill.end(), 0.0) - paced.communication;
      return paced;
    };
    return fmt::format("{:g}Mbit", mbit_for_share(kShare, step("1Gbit"), step("4Gbit")));
  }

  cli::ScenarioOptions scenario(const GridCase& c) const {
    cli::ScenarioOptions options;
    options.file = kScenario;
    options.overrides = c.overrides();
    std::string profiles = profile_path(c.tensor);
    if (c.tensor > 1) {
      options.measured.push_back(config::read_profile(wire_path(c.wire)));
    }
    options.overrides.push_back("profile=" + profiles);
    return options;
  }

  nlohmann::json execute(const cli::ScenarioOptions& scenario, const std::string& wire, int tensor,
                         double budget) const {
    const auto [simulation, notes] = cli::load_simulation(scenario);
    VerifyOptions options;
    options.wire = tensor > 1 ? wire_of(wire) : std::nullopt;
    options.budget = budget;
    return json(verify(simulation, options), simulation.scenario());
  }

  bool run_cases(std::size_t first, std::size_t end) const {
    for (std::size_t i = first; i < end; ++i) {
      const GridCase& c = cases_[i];
      if (!once(case_path(c), [&] { return execute(scenario(c), c.wire, c.tensor, kBudget); })) {
        return false;
      }
    }
    return true;
  }
  fs::path case_path(const GridCase& c) const {
    return folder_ / (file_name("case " + c.purpose + " " + c.name()) + ".json");
  }

  // Capacity: what the prediction says is served when everything arrives at once.
  bool run_streams() const {
    GridCase c;
    c.model = "tiny-llama-125m";
    c.weights = "int8";
    c.prefill = 96;
    c.batch = 1;
    c.output = 16;
    c.purpose = "stream";
    cli::ScenarioOptions options = scenario(c);
    options.overrides.push_back("workload.requests=200");
    const auto loaded = cli::load_simulation(options);
    const double capacity = predict(loaded.simulation).point.request_throughput;
    options.overrides.push_back("workload.lengths.input={uniform: [32, 160]}");
    options.overrides.push_back("workload.lengths.output={uniform: [8, 24]}");
    for (const int percent : {50, 90}) {
      cli::ScenarioOptions stream = options;
      stream.overrides.push_back(
          fmt::format("workload.arrivals={{poisson: {:.3f}/s}}", capacity * percent / 100));
      if (!once(folder_ / fmt::format("stream-{}.json", percent),
                [&] { return execute(stream, "", 1, kStreamBudget); })) {
        return false;
      }
    }
    return true;
  }

  std::string page() const {
    GridPage page;
    page.seed = options_.seed;
    for (const GridCase& c : cases_) {
      page.rows.push_back({c, fs::exists(case_path(c)) ? read(case_path(c)) : nlohmann::json()});
    }
    for (const int percent : {50, 90}) {
      const fs::path path = folder_ / fmt::format("stream-{}.json", percent);
      if (fs::exists(path)) {
        page.streams.emplace_back(percent, read(path));
      }
    }
    for (const std::string& wire : wires_) {
      if (fs::exists(wire_path(wire))) {
        page.wires.push_back(config::read_profile(wire_path(wire)));
      }
    }
    return grid_page(page);
  }

  GridOptions options_;
  fs::path folder_;
  std::vector<Format> wire_formats_;
  std::vector<GridCase> cases_;
  std::vector<std::string> wires_;  // of all cases
  double start_ = calibrate::now_seconds();
};

int run(int argc, char** argv) {
  CLI::App app{"Predicts a grid of cases, executes it on two cores, and compares"};
  GridOptions options;
  app.add_option("folder", options.folder, "Where pieces of work are kept")->required();
  app.add_option("--seed", options.seed, "Of the draw of cases");
  app.add_option("--cases", options.cases, "How many are drawn");
  app.add_option("--seconds", options.seconds, "No further piece of work begins after");
  app.add_option("--page", options.page, "Write the page there");
  CLI11_PARSE(app, argc, argv);
  return Grid(options).run();
}

}  // namespace
}  // namespace foretoken::runtime

int main(int argc, char** argv) {
  try {
    return foretoken::runtime::run(argc, argv);
  } catch (const foretoken::InputError& error) {
    std::fprintf(stderr, "verify_grid: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "verify_grid: %s (a fault of the program)\n", error.what());
    return 1;
  }
}
