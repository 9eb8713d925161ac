#include "reports/plan_report.h"

#include <fmt/format.h>

#include <cmath>

#include "reports/run_report.h"

namespace foretoken::reports {
namespace {

using plan::Fate;
using plan::PlanResult;
using plan::PlanRow;
using plan::Space;

std::string money(const Space& space, double cost) {
  return space.priced() ? fmt::format("{:.2f} an hour", cost) : fmt::format("{:.0f} GPUs", cost);
}

std::string range(const std::optional<plan::PlanIntervals>& intervals,
                  Interval plan::PlanIntervals::*which, double scale) {
  if (!intervals) {
    return "";
  }
  const Interval& i = (*intervals).*which;
  return fmt::format(" ({} .. {})", cell(i.low * scale), cell(i.high * scale));
}

std::string failure_text(const Space& space, const plan::AfterFailure& after) {
  if (after.replicas == 0) {
    return "nothing is left";
  }
  if (after.rate <= 0) {
    return fmt::format("{} replicas, none of the rates tried", after.replicas);
  }
  return fmt::format("{} replicas, {}/s ({:.0f} % of the required rate)", after.replicas,
                     cell(after.rate), after.rate / space.required_rate() * 100);
}

std::string latency_text(const Space& space, const PlanRow& row) {
  const SloSpec& slo = space.targets();
  std::string out;
  const auto add = [&](const char* name, const std::optional<Time>& target, double seconds,
                       Interval plan::PlanIntervals::*which) {
    if (target) {
      out += fmt::format("{}{} {}{} ms", out.empty() ? "" : ", ", name, cell(seconds * 1e3),
                         range(row.intervals, which, 1e3));
    }
  };
  add("TTFT", slo.ttft, row.outcome.ttft, &plan::PlanIntervals::ttft);
  add("TPOT", slo.tpot, row.outcome.tpot, &plan::PlanIntervals::tpot);
  add("E2E", slo.e2e, row.outcome.e2e, &plan::PlanIntervals::e2e);
  return out;
}

std::string row_text(const Space& space, const PlanResult& result, const PlanRow& row) {
  std::string out = wrap(
      fmt::format("  {} for {}", space.label(row.configuration),
                  space.priced() ? fmt::format("{} ({} GPUs)", money(space, row.cost), row.gpus)
                                 : money(space, row.cost)),
      4);
  out = "  " + out;
  const auto line = [&](const std::string& text) { out += "    " + wrap(text, 6); };
  line(fmt::format("p{:g}: {}; {:.0f} % of the target", space.targets().percentile,
                   latency_text(space, row), row.latency * 100));
  std::string rate = fmt::format("serves up to {}/s", cell(row.rate)) +
                     range(row.intervals, &plan::PlanIntervals::rate, 1);
  if (row.intervals) {
    rate += fmt::format("; meets the targets in {} of {} replications", row.intervals->meets,
                        result.replications);
  }
  line(rate);
  line("a GPU fails: " + failure_text(space, row.gpu_fails));
  line("a node fails: " + failure_text(space, row.node_fails));
  return out;
}

std::string counts_text(const Space& space, const PlanResult& result) {
  std::string out =
      fmt::format("{} configurations, {} simulated ({} runs of {} requests):\n", space.size(),
                  result.outcomes.size(), result.runs, space.problem().workload.requests.size());
  for (std::size_t fate = 0; fate < plan::kFateCount; ++fate) {
    if (result.fates[fate] > 0) {
      out += fmt::format("{:>9}  {}\n", result.fates[fate], plan::kFateMeanings[fate]);
    }
  }
  return out + "\n";
}

std::string front_text(const Space& space, const PlanResult& result) {
  const PlanRow& best = result.front[result.cheapest];
  std::string out = "Cheapest plan:\n" + row_text(space, result, best) + "\n";
  std::size_t shown = 0;
  for (const PlanRow& row : result.front) {
    shown += row.shown ? 1 : 0;
  }
  out += fmt::format(
      "Pareto front (cost, latency, rate): {} plans{}\n", result.front.size(),
      shown < result.front.size() ? fmt::format(", {} of them shown; --json has all", shown) : "");
  for (const PlanRow& row : result.front) {
    if (row.shown && row.configuration != best.configuration) {
      out += row_text(space, result, row);
    }
  }
  if (!result.runners_up.empty()) {
    out += "\nWhy not another:\n";
  }
  for (const plan::RunnerUp& other : result.runners_up) {
    out += "  " + wrap(fmt::format("{} for {}: {}", space.label(other.configuration),
                                   money(space, other.cost), other.reason),
                       4);
  }
  return out;
}

std::string obstacle_text(const plan::Obstacle& obstacle) {
  std::string out = wrap(fmt::format("No plan meets the targets. {} binds.", obstacle.limit), 2);
  out += wrap(obstacle.finding, 2);
  for (const std::string& remedy : obstacle.remedies) {
    out += "  " + wrap("would lift it: " + remedy, 4);
  }
  return out;
}

nlohmann::ordered_json interval_json(const Interval& interval, double scale, double level) {
  return {{"low", interval.low * scale}, {"high", interval.high * scale}, {"level", level}};
}

nlohmann::ordered_json configuration_json(const Space& space, std::size_t index) {
  const plan::Configuration& c = space.at(index);
  return {{"index", index},
          {"cluster", space.candidate(index).topology->spec().name},
          {"tensor", c.tensor},
          {"pipeline", c.pipeline},
          {"data", c.data},
          {"order", space.spec().placement[c.order]},
          {"weights", to_string(c.weights)},
          {"activations", to_string(c.activations)},
          {"kv_cache", to_string(c.kv_cache)},
          {"all_reduce", to_string(c.all_reduce)},
          {"max_num_seqs", c.max_num_seqs},
          {"max_num_batched_tokens", c.max_num_batched_tokens},
          {"gpus", c.gpus()},
          {"cost", space.cost(index)}};
}

nlohmann::ordered_json failure_json(const plan::AfterFailure& after) {
  return {{"replicas", after.replicas}, {"rate", after.rate}};
}

nlohmann::ordered_json row_json(const Space& space, const PlanResult& result, const PlanRow& row) {
  nlohmann::ordered_json json = configuration_json(space, row.configuration);
  json["ttft_ms"] = row.outcome.ttft * 1e3;
  json["tpot_ms"] = row.outcome.tpot * 1e3;
  json["e2el_ms"] = row.outcome.e2e * 1e3;
  json["latency_share"] = row.latency;
  json["max_rate"] = row.rate;
  json["output_throughput"] = row.outcome.output_throughput;
  json["peak_running"] = row.outcome.peak_running;
  const plan::Bounds& bounds = result.screened[row.configuration].bounds;
  json["bounds"] = {{"ttft_ms", bounds.ttft * 1e3},
                    {"tpot_ms", bounds.tpot * 1e3},
                    {"max_rate", std::isfinite(bounds.rate) ? nlohmann::ordered_json(bounds.rate)
                                                            : nlohmann::ordered_json()}};
  json["shown"] = row.shown;
  if (row.intervals) {
    json["intervals"] = {{"ttft_ms", interval_json(row.intervals->ttft, 1e3, result.level)},
                         {"tpot_ms", interval_json(row.intervals->tpot, 1e3, result.level)},
                         {"e2el_ms", interval_json(row.intervals->e2e, 1e3, result.level)},
                         {"max_rate", interval_json(row.intervals->rate, 1, result.level)}};
    json["replications_in_targets"] = row.intervals->meets;
  }
  if (row.shown) {
    json["gpu_fails"] = failure_json(row.gpu_fails);
    json["node_fails"] = failure_json(row.node_fails);
  }
  return json;
}

nlohmann::ordered_json targets_json(const SloSpec& slo) {
  nlohmann::ordered_json json;
  const auto put = [&](const char* name, const std::optional<Time>& target) {
    json[name] = target ? nlohmann::ordered_json(to_millis(*target)) : nlohmann::ordered_json();
  };
  put("ttft_ms", slo.ttft);
  put("tpot_ms", slo.tpot);
  put("e2el_ms", slo.e2e);
  json["percentile"] = slo.percentile;
  return json;
}

}  // namespace

std::string target_text(const SloSpec& slo) {
  std::string out;
  const auto add = [&](const char* name, const std::optional<Time>& target) {
    if (target) {
      out += fmt::format("{}{} {:g} ms", out.empty() ? "" : ", ", name, to_millis(*target));
    }
  };
  add("TTFT", slo.ttft);
  add("TPOT", slo.tpot);
  add("E2E", slo.e2e);
  return out + fmt::format(" at p{:g}", slo.percentile);
}

std::string text(const Space& space, const PlanResult& result,
                 const std::vector<std::string>& notes) {
  std::string out = wrap(fmt::format("{} at {}/s, targets {}", space.problem().scenario.model.name,
                                     cell(space.required_rate()), target_text(space.targets())),
                         2);
  for (const std::string& note : notes) {
    out += wrap("warning: " + note, 9);
  }
  out += counts_text(space, result);
  return out + (result.obstacle ? obstacle_text(*result.obstacle) : front_text(space, result));
}

nlohmann::ordered_json json(const Space& space, const PlanResult& result,
                            const std::vector<std::string>& notes) {
  const ScenarioSpec& scenario = space.problem().scenario;
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["version"] = FORETOKEN_VERSION;
  json["scenario"] = {{"file", scenario.file},
                      {"hash", fmt::format("{:016x}", scenario.hash)},
                      {"model", scenario.model.name}};
  json["seed"] = scenario.seed;
  json["warnings"] = notes;
  json["required_rate"] = space.required_rate();
  json["targets"] = targets_json(space.targets());
  json["requests"] = space.problem().workload.requests.size();
  json["configurations"] = space.size();
  json["simulated"] = result.outcomes.size();
  json["runs"] = result.runs;
  auto& fates = json["fates"] = nlohmann::ordered_json::object();
  for (std::size_t fate = 0; fate < plan::kFateCount; ++fate) {
    fates[std::string(plan::kFateNames[fate])] = result.fates[fate];
  }
  json["replications"] = result.replications;
  auto& front = json["front"] = nlohmann::ordered_json::array();
  for (const PlanRow& row : result.front) {
    front.push_back(row_json(space, result, row));
  }
  json["cheapest"] = result.front.empty()
                         ? nlohmann::ordered_json()
                         : nlohmann::ordered_json(result.front[result.cheapest].configuration);
  auto& others = json["runners_up"] = nlohmann::ordered_json::array();
  for (const plan::RunnerUp& other : result.runners_up) {
    auto entry = configuration_json(space, other.configuration);
    entry["fate"] = plan::kFateNames[static_cast<std::size_t>(other.fate)];
    entry["reason"] = other.reason;
    others.push_back(std::move(entry));
  }
  if (result.obstacle) {
    json["obstacle"] = {{"limit", result.obstacle->limit},
                        {"finding", result.obstacle->finding},
                        {"remedies", result.obstacle->remedies}};
  }
  return json;
}

}  // namespace foretoken::reports
