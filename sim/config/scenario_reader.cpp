#include "sim/config/scenario_reader.h"

#include <array>

#include "sim/config/model_reader.h"
#include "sim/config/plan_reader.h"
#include "sim/config/reader.h"
#include "sim/config/scenario_parts.h"
#include "sim/core/random.h"

namespace foretoken::config {
namespace {

constexpr std::int64_t kMaxTokens = 100'000'000;

Format format_or(MapReader& map, std::string_view key, Format fallback, FormatRole role) {
  const Node* node = map.find(key);
  return node ? read_format(*node, map.path(key), role) : fallback;
}

ParallelSpec read_parallel(const Node& node) {
  MapReader map(node, "parallel");
  ParallelSpec spec;
  spec.mark = map.mark();
  constexpr IntRange degree{1, 1 << 20};
  spec.tensor = static_cast<int>(map.integer("tensor", 1, degree));
  spec.pipeline = static_cast<int>(map.integer("pipeline", 1, degree));
  spec.data = static_cast<int>(map.integer("data", 1, degree));
  spec.expert = static_cast<int>(map.integer("expert", 1, degree));
  constexpr std::array<std::string_view, 2> attentions{"tensor", "data_parallel"};
  if (map.choice("attention", "tensor", attentions) == "data_parallel") {
    fail(map.require("attention"), map.path("attention"),
         "attention: data_parallel belongs to mixture-of-experts models, which are not simulated "
         "yet; use tensor");
  }
  spec.sequence = map.boolean("sequence", false);
  if (spec.sequence && spec.tensor == 1) {
    fail(map.require("sequence"), map.path("sequence"),
         "sequence parallelism is one of tensor ranks; set tensor to 2 or more");
  }
  map.finish();
  return spec;
}

PlacementSpec read_placement(const Node& node) {
  MapReader map(node, "placement");
  PlacementSpec spec;
  spec.mark = map.mark();
  if (const Node* order = map.find("order")) {
    spec.order = read_order(*order, map.path("order"));
  }
  const Node* groups = map.find("groups");
  if (groups != nullptr && groups->kind == Node::Kind::sequence) {
    for (const auto& group : groups->items) {
      if (group->kind != Node::Kind::sequence) {
        fail(*group, map.path("groups"), "expected lists of GPU indices, such as [[0,1],[2,3]]");
      }
      auto& out = spec.groups.emplace_back();
      for (const auto& gpu : group->items) {
        out.push_back(static_cast<int>(read_integer(*gpu, map.path("groups"), {0, 1 << 24})));
      }
    }
  } else if (groups != nullptr) {
    constexpr std::array<std::string_view, 1> automatic{"auto"};
    read_choice(*groups, map.path("groups"), automatic);
  }
  map.finish();
  return spec;
}

PrecisionSpec read_precision(const Node& node) {
  MapReader map(node, "precision");
  PrecisionSpec spec;
  spec.mark = map.mark();
  if (const Node* weights = map.find("weights")) {
    if (weights->kind == Node::Kind::map) {
      for (const Node::Entry& entry : weights->entries) {
        const std::string path = map.path("weights") + "." + entry.key;
        const Format format = read_format(*entry.value, path, FormatRole::weights);
        if (entry.key == "default") {
          spec.weights_default = format;
        } else {
          spec.weights.push_back({entry.key, format, entry.mark});
        }
      }
    } else {
      spec.weights_default = read_format(*weights, map.path("weights"), FormatRole::weights);
    }
  }
  spec.activations = format_or(map, "activations", kBf16, FormatRole::activations);
  constexpr std::array<std::string_view, 2> scales{"dynamic", "static"};
  spec.activation_scales = map.choice("activation_scales", "dynamic", scales) == "static"
                               ? PrecisionSpec::ActivationScales::fixed
                               : PrecisionSpec::ActivationScales::dynamic;
  spec.kv_cache = format_or(map, "kv_cache", kBf16, FormatRole::kv_cache);
  spec.all_reduce = format_or(map, "all_reduce", kBf16, FormatRole::wire);
  spec.all_to_all = format_or(map, "all_to_all", kBf16, FormatRole::wire);
  map.finish();
  return spec;
}

std::optional<Time> optional_time(MapReader& map, std::string_view key) {
  const auto seconds = map.optional_quantity(key, Unit::time);
  return seconds ? std::optional(time_from_seconds(*seconds)) : std::nullopt;
}

double read_rate(const Node& node, const std::string& path) {
  return read_quantity(node, path, Unit::rate, kPositive);
}

void read_renewal(const Node& node, const std::string& path, ArrivalSpec& spec) {
  MapReader map(node, path);
  spec.rate = map.quantity("rate", Unit::rate, kPositive);
  // A Weibull shape below 0.1 or above 20 has no use and no numerically safe mean.
  spec.cv = map.quantity("cv", 1.0, Unit::number, {0.05, 20, false});
  map.finish();
}

ArrivalSpec read_arrivals(const Node& node, const std::string& file) {
  ArrivalSpec spec;
  spec.mark = node.mark;
  constexpr std::string_view where = "workload.arrivals";
  constexpr std::array<std::string_view, 7> kinds{
      "constant", "poisson", "gamma", "weibull", "trace", "closed_loop", "all_at_once"};
  if (node.kind == Node::Kind::scalar) {
    constexpr std::array<std::string_view, 1> bare{"all_at_once"};
    read_choice(node, std::string(where), bare);
    spec.kind = ArrivalSpec::Kind::all_at_once;
    return spec;
  }
  MapReader map(node, std::string(where));
  int stated = 0;
  for (const Node::Entry& entry : map.entries()) {
    const auto it = std::find(kinds.begin(), kinds.end(), entry.key);
    if (it == kinds.end()) {
      continue;
    }
    const Node& value = map.require(entry.key);
    const std::string path = map.path(entry.key);
    ++stated;
    spec.kind = static_cast<ArrivalSpec::Kind>(it - kinds.begin());
    switch (spec.kind) {
      case ArrivalSpec::Kind::constant:
      case ArrivalSpec::Kind::poisson:
        spec.rate = read_rate(value, path);
        break;
      case ArrivalSpec::Kind::gamma:
      case ArrivalSpec::Kind::weibull:
        read_renewal(value, path, spec);
        break;
      case ArrivalSpec::Kind::trace:
        spec.trace = resolve(value, path, file, "scenarios/traces");
        spec.speedup = map.quantity("speedup", 1.0, Unit::number, kPositive);
        break;
      case ArrivalSpec::Kind::closed_loop:
        if (value.kind == Node::Kind::map) {
          MapReader loop(value, path);
          spec.concurrency = static_cast<int>(loop.integer("concurrency", {1, 1 << 24}));
          spec.ramp = optional_time(loop, "ramp").value_or(kTimeZero);
          spec.jitter = optional_time(loop, "jitter").value_or(kTimeZero);
          loop.finish();
        } else {
          spec.concurrency = static_cast<int>(read_integer(value, path, {1, 1 << 24}));
        }
        break;
      case ArrivalSpec::Kind::all_at_once:
        break;
    }
  }
  for (const std::string_view kind : kinds) {
    map.find(kind);  // so that a misspelt kind is met with the nearest one
  }
  map.finish();
  if (stated != 1) {
    fail(node, std::string(where),
         fmt::format("state exactly one of constant, poisson, gamma, weibull, trace, closed_loop, "
                     "all_at_once (found {})",
                     stated));
  }
  return spec;
}

LengthSpec::Side read_side(const Node& node, const std::string& path) {
  LengthSpec::Side side;
  constexpr IntRange tokens{1, kMaxTokens};
  if (node.kind == Node::Kind::scalar) {
    side.low = side.high = read_integer(node, path, tokens);
    return side;
  }
  MapReader map(node, path);
  const Node* uniform = map.find("uniform");
  const Node* lognormal = map.find("lognormal");
  map.finish();
  if ((uniform == nullptr) == (lognormal == nullptr)) {
    fail(node, path,
         "state a number of tokens, {uniform: [low, high]} or {lognormal: {median, sigma}}");
  }
  if (uniform != nullptr) {
    side.kind = LengthSpec::Kind::uniform;
    if (uniform->kind != Node::Kind::sequence || uniform->items.size() != 2) {
      fail(*uniform, map.path("uniform"), "expected [low, high]");
    }
    side.low = read_integer(*uniform->items[0], map.path("uniform"), tokens);
    side.high = read_integer(*uniform->items[1], map.path("uniform"), tokens);
    if (side.high < side.low) {
      fail(*uniform, map.path("uniform"), "the lower end stands first");
    }
    return side;
  }
  side.kind = LengthSpec::Kind::lognormal;
  MapReader shape(*lognormal, map.path("lognormal"));
  side.median = shape.quantity("median", Unit::number, {1, static_cast<double>(kMaxTokens)});
  side.sigma = shape.quantity("sigma", Unit::number, {0, 10});
  side.low = shape.integer("min", 1, tokens);
  side.high = shape.integer("max", kMaxTokens, tokens);
  shape.finish();
  if (side.high < side.low) {
    fail(*lognormal, map.path("lognormal"), "max is below min");
  }
  return side;
}

LengthSpec read_lengths(const Node& node, const std::string& file) {
  MapReader map(node, "workload.lengths");
  LengthSpec spec;
  spec.mark = map.mark();
  spec.max_total = map.integer("max_total", 0, {2, kMaxTokens});
  if (const Node* trace = map.find("trace")) {
    spec.kind = LengthSpec::Kind::trace;
    spec.trace = resolve(*trace, map.path("trace"), file, "scenarios/traces");
  } else {
    spec.input = read_side(map.require("input"), map.path("input"));
    spec.output = read_side(map.require("output"), map.path("output"));
    spec.kind = spec.input.kind;
  }
  map.finish();
  return spec;
}

std::int64_t read_request_count(MapReader& map, const WorkloadSpec& spec, bool counted) {
  constexpr IntRange count{1, 100'000'000};
  const Node* per_client = map.find("requests_per_client");
  if (per_client == nullptr) {
    return counted ? map.integer("requests", 0, count) : map.integer("requests", count);
  }
  const std::string path = map.path("requests_per_client");
  if (spec.arrivals.kind != ArrivalSpec::Kind::closed_loop) {
    fail(*per_client, path,
         "clients belong to arrivals: {closed_loop: ...}; state requests instead");
  }
  if (map.find("requests") != nullptr) {
    fail(*per_client, path, "states the same as requests; state one of the two");
  }
  return spec.arrivals.concurrency * read_integer(*per_client, path, {1, 1 << 16});
}

WorkloadSpec read_workload(const Node& node, const std::string& file) {
  MapReader map(node, "workload");
  WorkloadSpec spec;
  spec.mark = map.mark();
  spec.arrivals = read_arrivals(map.require("arrivals"), file);
  if (const Node* lengths = map.find("lengths")) {
    spec.lengths = read_lengths(*lengths, file);
  } else if (spec.arrivals.kind == ArrivalSpec::Kind::trace) {
    spec.lengths.kind = LengthSpec::Kind::trace;
    spec.lengths.trace = spec.arrivals.trace;
    spec.lengths.mark = spec.arrivals.mark;
  } else {
    map.require("lengths");
  }
  const bool counted = spec.arrivals.kind == ArrivalSpec::Kind::trace ||
                       spec.lengths.kind == LengthSpec::Kind::trace;
  spec.requests = read_request_count(map, spec, counted);
  spec.warmup = map.quantity("warmup", 0.0, Unit::fraction, {0, 0.9});
  map.finish();
  return spec;
}

SloSpec read_slo(const Node& node) {
  MapReader map(node, "slo");
  SloSpec spec;
  spec.ttft = optional_time(map, "ttft");
  spec.tpot = optional_time(map, "tpot");
  spec.e2e = optional_time(map, "e2e");
  spec.percentile = map.quantity("percentile", 99.0, Unit::number, {1, 100});
  map.finish();
  if (!spec.ttft && !spec.tpot && !spec.e2e) {
    throw InputError(map.mark(), "slo", "states no target; add ttft, tpot or e2e");
  }
  return spec;
}

Marked<std::vector<std::string>> read_profiles(const Node* node, const std::string& file) {
  Marked<std::vector<std::string>> profiles;
  if (node != nullptr) {
    profiles.mark = node->mark;
    profiles.value = resolve_all(*node, "profile", file, "calibrate/profiles");
  }
  return profiles;
}

}  // namespace

ScenarioSpec parse_scenario(const std::shared_ptr<const Node>& root, const std::string& file) {
  MapReader map(*root, "");
  read_schema(map, 1);
  ScenarioSpec spec;
  spec.file = file;
  spec.hash = hash_text(canonical_text(*root));
  spec.model = read_model(resolve(map.require("model"), "model", file, "scenarios/models"));
  spec.model_mark = map.require("model").mark;
  // The model cut to its first layers: what a small machine can run of a large one.
  spec.model.layers =
      static_cast<int>(map.integer("layers", spec.model.layers, IntRange{1, spec.model.layers}));
  spec.cluster = resolve(map.require("cluster"), "cluster", file, "topologies");
  spec.profiles = read_profiles(map.find("profile"), file);
  static const Node empty;
  const auto part = [&](std::string_view key) -> const Node& {
    const Node* node = map.find(key);
    return node ? *node : empty;
  };
  spec.parallel = read_parallel(part("parallel"));
  spec.placement = read_placement(part("placement"));
  spec.precision = read_precision(part("precision"));
  spec.engine = read_engine(part("engine"));
  spec.workload = read_workload(map.require("workload"), file);
  if (const Node* slo = map.find("slo")) {
    spec.slo = read_slo(*slo);
  }
  if (const Node* plan = map.find("plan")) {
    spec.plan = read_plan(*plan, file);
  }
  if (const Node* cost = map.find("cost")) {
    MapReader prices(*cost, "cost");
    spec.gpu_hour = prices.quantity("gpu_hour", Unit::money);
    prices.finish();
  }
  spec.seed = static_cast<std::uint64_t>(map.integer("seed", 1));
  map.finish();
  return spec;
}

ScenarioSpec read_scenario(const std::string& path, const std::vector<std::string>& overrides,
                           const std::vector<std::string>& varied) {
  auto root = read_document(path);
  for (const std::string& assignment : overrides) {
    root = with_override(root, assignment);
  }
  for (const std::string& assignment : varied) {
    root = with_override(root, assignment, "--vary");
  }
  return parse_scenario(root, path);
}

}  // namespace foretoken::config
