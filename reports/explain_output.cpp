#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/explain_report.h"
#include "reports/run_report.h"

namespace foretoken::reports {
namespace {

double share(Time part, Time whole) {
  return whole > kTimeZero ? static_cast<double>(part.count()) / static_cast<double>(whole.count())
                           : 0;
}

// Every part with a bar that begins where the one before ends.
std::string waterfall(const std::string& title, const std::vector<Part>& parts, double mean_ms) {
  constexpr double kBar = 44;
  std::string out = fmt::format("{}: {} ms\n", title, cell(mean_ms));
  double at = 0;
  for (const Part& part : parts) {
    const double ms = to_millis(part.time);
    const double fraction = mean_ms > 0 ? ms / mean_ms : 0;
    const double low = std::clamp(std::min(at, at + fraction), 0.0, 1.0);
    const double high = std::clamp(std::max(at, at + fraction), 0.0, 1.0);
    const auto begin = static_cast<int>(std::floor(low * kBar));
    const auto end = static_cast<int>(std::ceil(high * kBar));
    const std::string bar =
        std::string(static_cast<std::size_t>(begin), ' ') +
        std::string(static_cast<std::size_t>(ms == 0 ? 0 : std::max(0, end - begin)),
                    ms < 0 ? '-' : '#');
    out += fmt::format("  {:<26}{:>11}{:>8.1f}%  {}", part.name, cell(ms), fraction * 100, bar);
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
    at += fraction;
  }
  return out;
}

std::string table(const StepTerms& step) {
  std::string out = fmt::format("{}: {} ms\n", step.title, cell(to_millis(step.total)));
  out += fmt::format("  {:<24}{:<20}{:>12}{:>9}  {}\n", "operator", "family", "ms", "share",
                     "provenance");
  for (const Term& term : step.terms) {
    out += fmt::format("  {:<24}{:<20}{:>12}{:>8.1f}%  {}{}\n", term.name,
                       kOpFamilyNames[static_cast<std::size_t>(term.family)],
                       cell(to_millis(term.time)), 100 * share(term.time, step.total),
                       name(term.provenance),
                       term.extrapolated ? ", outside the calibrated range" : "");
  }
  return out;
}

std::string gemm_table(const StepTerms& step) {
  std::string out =
      fmt::format("  {:<16}{:<20}{:<11}{:>9}{:>8}{:>8}  {:<9}{:>7}{:>7}\n", "GEMM", "m x n x k",
                  "format", "us", "op/B", "ridge", "bound by", "roof", "Top/s");
  for (const GemmPosition& gemm : step.gemms) {
    out += fmt::format("  {:<16}{:<20}{:<11}{:>9}{:>8.0f}{:>8.0f}  {:<9}{:>6.0f}%{:>7.1f}\n",
                       gemm.name, fmt::format("{} x {} x {}", gemm.op.m, gemm.op.n, gemm.op.k),
                       gemm.format, cell(to_micros(gemm.once)), gemm.intensity, gemm.ridge,
                       gemm.compute_bound() ? "compute" : "memory", 100 * gemm.roof_share,
                       gemm.rate / 1e12);
  }
  return step.gemms.empty() ? "" : out;
}

std::string collective_table(const StepTerms& step) {
  std::string out;
  for (const CollectivePosition& c : step.collectives) {
    const CollectiveTime& time = c.anatomy.time;
    out +=
        wrap(fmt::format(
                 "  {} x {}: {} values as {}, {}: {} us = latency {:.0f} % + bytes {:.0f} % + "
                 "contention {:.0f} % + codec {:.0f} %; critical link {}, busy {:.0f} % of it",
                 c.times, c.name, c.op.values, to_string(time.wire_format), name(time.algorithm),
                 cell(to_micros(time.total)), 100 * share(time.latency, time.total),
                 100 * share(time.wire - c.anatomy.contention, time.total),
                 100 * share(c.anatomy.contention, time.total), 100 * share(time.codec, time.total),
                 c.critical_link, 100 * c.anatomy.critical_share),
             4);
  }
  return out;
}

std::string step_text(const StepTerms& step) {
  const std::string gemms = gemm_table(step), collectives = collective_table(step);
  return table(step) + (gemms.empty() ? "" : "\n" + gemms) +
         (collectives.empty() ? "" : "\n" + collectives);
}

nlohmann::ordered_json parts_json(const std::vector<Part>& parts, double mean_ms) {
  nlohmann::ordered_json json{{"mean_ms", mean_ms}};
  auto& list = json["parts"] = nlohmann::ordered_json::array();
  for (const Part& part : parts) {
    list.push_back({{"name", part.name}, {"ms", to_millis(part.time)}});
  }
  return json;
}

nlohmann::ordered_json gemm_json(const GemmPosition& gemm) {
  return {{"name", gemm.name},
          {"m", gemm.op.m},
          {"n", gemm.op.n},
          {"k", gemm.op.k},
          {"format", gemm.format},
          {"us", to_micros(gemm.once)},
          {"times", gemm.times},
          {"operations_per_byte", gemm.intensity},
          {"ridge", gemm.ridge},
          {"bound_by", gemm.compute_bound() ? "compute" : "memory"},
          {"roof_share", gemm.roof_share},
          {"operations_per_second", gemm.rate}};
}

nlohmann::ordered_json collective_json(const CollectivePosition& c) {
  const CollectiveTime& time = c.anatomy.time;
  return {{"name", c.name},
          {"values", c.op.values},
          {"times", c.times},
          {"algorithm", name(time.algorithm)},
          {"protocol", name(time.protocol)},
          {"sent_as", to_string(time.wire_format)},
          {"us", to_micros(time.total)},
          {"latency_us", to_micros(time.latency)},
          {"wire_us", to_micros(time.wire)},
          {"contention_us", to_micros(c.anatomy.contention)},
          {"codec_us", to_micros(time.codec)},
          {"critical_link", c.critical_link},
          {"critical_link_busy", c.anatomy.critical_share}};
}

nlohmann::ordered_json terms_json(const StepTerms& step) {
  nlohmann::ordered_json json;
  json["tokens"] = step.batch.tokens();
  json["total_ms"] = to_millis(step.total);
  auto& terms = json["terms"] = nlohmann::ordered_json::array();
  for (const Term& term : step.terms) {
    terms.push_back({{"name", term.name},
                     {"family", kOpFamilyNames[static_cast<std::size_t>(term.family)]},
                     {"ms", to_millis(term.time)},
                     {"provenance", name(term.provenance)},
                     {"extrapolated", term.extrapolated}});
  }
  auto& gemms = json["gemms"] = nlohmann::ordered_json::array();
  for (const GemmPosition& gemm : step.gemms) {
    gemms.push_back(gemm_json(gemm));
  }
  auto& collectives = json["collectives"] = nlohmann::ordered_json::array();
  for (const CollectivePosition& collective : step.collectives) {
    collectives.push_back(collective_json(collective));
  }
  return json;
}

nlohmann::ordered_json body_json(const Simulation& simulation, const Explanation& e) {
  nlohmann::ordered_json json;
  json["scenario"] = {{"file", simulation.scenario().file},
                      {"hash", fmt::format("{:016x}", simulation.scenario().hash)}};
  json["seed"] = simulation.scenario().seed;
  json["mean_ttft_ms"] = e.mean_ttft_ms;
  json["mean_tpot_ms"] = e.mean_tpot_ms;
  json["ttft"] = parts_json(e.ttft, e.mean_ttft_ms);
  json["tpot"] = parts_json(e.tpot, e.mean_tpot_ms);
  json["prefill"] = terms_json(e.prefill);
  json["decode"] = terms_json(e.decode);
  return json;
}

nlohmann::ordered_json head_json() { return {{"schema", 1}, {"version", FORETOKEN_VERSION}}; }

std::string difference_table(const std::string& title, const std::vector<Part>& a,
                             const std::vector<Part>& b, double a_ms, double b_ms) {
  std::string out =
      fmt::format("{:<36}{:>12}{:>12}{:>12}{:>9}\n", title, "A ms", "B ms", "B - A", "share");
  const double whole = b_ms - a_ms;
  const auto line = [&](const std::string& name, double first, double second) {
    const double difference = second - first;
    out += fmt::format("  {:<34}{:>12}{:>12}{:>12}", name, cell(first), cell(second),
                       fmt::format("{}{}", difference > 0 ? "+" : "", cell(difference)));
    out +=
        whole != 0 && difference != 0 ? fmt::format("{:>8.1f}%\n", 100 * difference / whole) : "\n";
  };
  for (const PartPair& pair : pair_up(a, b)) {
    line(pair.name, to_millis(pair.a), to_millis(pair.b));
  }
  line("in all", a_ms, b_ms);
  return out;
}

nlohmann::ordered_json pairs_json(const std::vector<Part>& a, const std::vector<Part>& b) {
  auto list = nlohmann::ordered_json::array();
  for (const PartPair& pair : pair_up(a, b)) {
    list.push_back({{"name", pair.name},
                    {"a_ms", to_millis(pair.a)},
                    {"b_ms", to_millis(pair.b)},
                    {"difference_ms", to_millis(pair.b - pair.a)}});
  }
  return list;
}

std::string who(const char* letter, const Simulation& simulation) {
  const ScenarioSpec& s = simulation.scenario();
  return wrap(fmt::format("{}: {}: {} on {} (tensor {} x pipeline {} x data {}), weights {}, "
                          "all-reduce {}, profile {}",
                          letter, s.file, s.model.name, simulation.topology().spec().name,
                          s.parallel.tensor, s.parallel.pipeline, s.parallel.data,
                          to_string(s.precision.weights_default), to_string(s.precision.all_reduce),
                          simulation.profile().name),
              3);
}

}  // namespace

std::vector<PartPair> pair_up(const std::vector<Part>& a, const std::vector<Part>& b) {
  std::vector<PartPair> pairs;
  std::size_t next = 0;
  const auto has = [](const std::vector<Part>& parts, const std::string& name) {
    return std::find_if(parts.begin(), parts.end(),
                        [&](const Part& part) { return part.name == name; });
  };
  for (const Part& part : a) {
    const auto other = has(b, part.name);
    // What only b has stands before the next part that both have.
    for (; other != b.end() && next < static_cast<std::size_t>(other - b.begin()); ++next) {
      if (has(a, b[next].name) == a.end()) {
        pairs.push_back({b[next].name, kTimeZero, b[next].time});
      }
    }
    pairs.push_back({part.name, part.time, other != b.end() ? other->time : kTimeZero});
  }
  for (; next < b.size(); ++next) {
    if (has(a, b[next].name) == a.end()) {
      pairs.push_back({b[next].name, kTimeZero, b[next].time});
    }
  }
  return pairs;
}

std::string text(const Simulation& simulation, const Explanation& e) {
  std::string out = fmt::format("{} on {}, profile {}\n", simulation.scenario().model.name,
                                simulation.topology().spec().name, simulation.profile().name);
  out += wrap("Memory per GPU: " + simulation.memory().arithmetic(), 2) + "\n";
  out += waterfall("Time to first token, mean of the run", e.ttft, e.mean_ttft_ms) + "\n";
  out += waterfall("Time per output token, mean of the run", e.tpot, e.mean_tpot_ms) + "\n";
  out += step_text(e.prefill) + "\n" + step_text(e.decode) + "\n";
  return out +
         "roof: share of the limit that GEMMs of the format reach; ridge: operations per byte from "
         "which\ncompute is that limit.\n";
}

nlohmann::ordered_json json(const Simulation& simulation, const Explanation& e) {
  nlohmann::ordered_json json = head_json();
  json.update(body_json(simulation, e));
  return json;
}

std::string difference_text(const Explained& a, const Explained& b) {
  return who("A", a.simulation) + who("B", b.simulation) + "\n" +
         difference_table("Time to first token, mean", a.explanation.ttft, b.explanation.ttft,
                          a.explanation.mean_ttft_ms, b.explanation.mean_ttft_ms) +
         "\n" +
         difference_table("Time per output token, mean", a.explanation.tpot, b.explanation.tpot,
                          a.explanation.mean_tpot_ms, b.explanation.mean_tpot_ms);
}

nlohmann::ordered_json difference_json(const Explained& a, const Explained& b) {
  nlohmann::ordered_json json = head_json();
  json["a"] = body_json(a.simulation, a.explanation);
  json["b"] = body_json(b.simulation, b.explanation);
  json["difference"] = {{"ttft", pairs_json(a.explanation.ttft, b.explanation.ttft)},
                        {"tpot", pairs_json(a.explanation.tpot, b.explanation.tpot)}};
  return json;
}

}  // namespace foretoken::reports
