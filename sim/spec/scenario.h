// A scenario: everything a user states about one simulation. Plain data, already checked for units
// and ranges by sim/config; relations between parts (does it fit, do degrees divide) are checked
// where the parts meet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/units.h"
#include "sim/spec/engine.h"
#include "sim/spec/format.h"
#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/spec/provenance.h"

namespace foretoken {

// A value with the place it was read from, for messages that are given later.
template <class T>
struct Marked {
  T value{};
  SourceMark mark;
};

struct ParallelSpec {
  int tensor = 1;
  int pipeline = 1;
  int data = 1;
  int expert = 1;
  enum class Attention : std::uint8_t { tensor, data_parallel } attention = Attention::tensor;
  // Reduce-scatter and all-gather in place of all-reduces, norms on a share of the tokens between
  // them (Megatron-LM's sequence parallelism, arXiv 2205.05198).
  bool sequence = false;
  SourceMark mark;
  int gpus() const { return tensor * pipeline * data; }
};

// Which GPU each rank sits on. Explicit groups list GPU indices per tensor group, in the order
// pipeline within data; `order` names the dimensions from the innermost (neighbouring GPUs)
// outwards.
struct PlacementSpec {
  std::vector<std::string> order{"tensor", "expert", "pipeline", "data"};
  std::vector<std::vector<int>> groups;  // empty: auto
  SourceMark mark;
};

// Formats per module. Weight rules are glob patterns over module names ("layers.0-1.*", "lm_head",
// "default"); the last rule that matches wins, "default" is the fallback.
struct PrecisionSpec {
  struct Rule {
    std::string pattern;
    Format format;
    SourceMark mark;
  };
  Format weights_default = kBf16;
  std::vector<Rule> weights;
  Format activations = kBf16;
  Format kv_cache = kBf16;
  Format all_reduce = kBf16;
  Format all_to_all = kBf16;
  // Dynamic scales are computed from the activations by a kernel of their own; static ones stand in
  // the checkpoint, and the operator before writes the narrow format.
  enum class ActivationScales : std::uint8_t {
    dynamic,
    fixed
  } activation_scales = ActivationScales::dynamic;
  SourceMark mark;
};

struct ArrivalSpec {
  enum class Kind : std::uint8_t {
    constant,
    poisson,
    gamma,
    weibull,
    trace,
    closed_loop,
    all_at_once
  } kind = Kind::poisson;
  double rate = 0;          // per second
  double cv = 1;            // gamma, weibull: coefficient of variation of the gaps
  int concurrency = 0;      // closed_loop
  Time ramp = kTimeZero;    // closed_loop: the clients' first requests spread evenly over this
  Time jitter = kTimeZero;  // closed_loop: each request leaves a random 0..jitter late
  std::string trace;        // path, resolved
  double speedup = 1;       // trace: arrival times are divided by this
  SourceMark mark;
};

struct LengthSpec {
  enum class Kind : std::uint8_t { fixed, uniform, lognormal, trace } kind = Kind::fixed;
  // fixed: input = low; uniform: low..high; lognormal: median and sigma, clipped to low..high.
  struct Side {
    Kind kind = Kind::fixed;
    std::int64_t low = 1;
    std::int64_t high = 1;
    double median = 1;
    double sigma = 0;
  };
  Side input, output;
  std::string trace;           // path, resolved; kind == trace
  std::int64_t max_total = 0;  // requests are cut to this many tokens in all; 0: no cut
  SourceMark mark;
};

struct WorkloadSpec {
  ArrivalSpec arrivals;
  LengthSpec lengths;
  // 0: as many as the trace holds. In a closed loop also stated as requests_per_client.
  std::int64_t requests = 0;
  double warmup = 0;  // share of requests left out of the percentiles
  SourceMark mark;
};

struct SloSpec {
  std::optional<Time> ttft;
  std::optional<Time> tpot;
  std::optional<Time> e2e;
  double percentile = 99;
};

struct ScenarioSpec {
  std::string file;
  std::uint64_t hash = 0;  // of the canonical text, overrides included
  ModelSpec model;
  SourceMark model_mark;                      // of the key in the scenario
  std::string cluster;                        // path, resolved
  Marked<std::vector<std::string>> profiles;  // paths, resolved; empty: the cluster's own
  ParallelSpec parallel;
  PlacementSpec placement;
  PrecisionSpec precision;
  EngineSpec engine;
  WorkloadSpec workload;
  std::optional<SloSpec> slo;
  std::optional<PlanSpec> plan;
  double gpu_hour = 0;  // currency per GPU and hour; 0: unknown
  std::uint64_t seed = 1;
};

}  // namespace foretoken
