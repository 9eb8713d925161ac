// Prediction beside execution: the scenario's workload is predicted from the profile alone, then
// run for real on this machine, and both are set side by side, metric by metric and operator family
// by operator family.
#pragma once

#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/serving/simulation.h"

namespace foretoken::runtime {

struct VerifyOptions {
  std::optional<std::string> wire;  // as parse_wire returns it; nothing: the loopback device
  std::string weights;              // a .safetensors file; empty: random
  int repeats = 5;                  // of a batch; a stream runs three times at most
  double budget = 60;               // s; no further repeat begins after
  double tight = 0.02;              // repeats end when the median's interval is this narrow
};

// A run of the real server, or the mean of several: seconds by operator family.
using FamilySeconds = std::array<double, kOpFamilyCount>;

struct Metric {
  std::string name;            // of `vllm bench serve`: mean_ttft_ms
  double predicted = 0;        // at the pace that the cores had during the runs
  double at_first = 0;         // at the pace of the calibration: what was predicted before them
  Interval interval;           // of the prediction, 90 %
  double measured = 0;         // median over the repeats
  Interval measured_interval;  // of that median; equal ends: one run
  double error() const { return predicted / measured - 1; }
  bool covered() const { return interval.low <= measured && measured <= interval.high; }
};

struct FamilyRow {
  std::string phase;  // "steps with prompts" or "decode steps"
  std::string family;
  double predicted = 0, measured = 0;  // seconds in all, of one run
};

struct VerifyReport {
  std::string machine, date, commit, wire;
  bool stream = false;  // requests arrived over time; else all at once
  int repeats = 0, quiet_repeats = 0;
  // The sentinel's time during the runs, over that during the calibration where a profile has it.
  std::optional<double> pace;
  std::vector<Metric> metrics;
  std::vector<FamilyRow> families;
  std::vector<std::string> notes;
};

// The wire that joins the ranks must be part of the simulation's profile already.
// Throws InputError when the scenario cannot be executed here.
VerifyReport verify(const Simulation& simulation, const VerifyOptions& options);

// Without executing: what verify() predicts.
struct Predicted {
  Summary point;
  std::map<std::string, Interval> intervals;
  FamilySeconds prefill{}, decode{};
};
Predicted predict(const Simulation& simulation);

// All requests arrive at once.
bool is_batch(const Workload& workload);

std::string text(const VerifyReport& report);
nlohmann::ordered_json json(const VerifyReport& report, const ScenarioSpec& scenario);
std::string markdown(const VerifyReport& report, const ScenarioSpec& scenario);

}  // namespace foretoken::runtime
