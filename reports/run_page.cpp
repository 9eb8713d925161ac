#include "reports/run_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/run_report.h"
#include "reports/timeline.h"
#include "reports/topology_drawing.h"
#include "sim/serving/link_use.h"

namespace foretoken::reports {
namespace {

constexpr int kBins = 300;  // of a timeline: what a wide screen tells apart

std::vector<std::pair<std::string, std::string>> scenario_facts(const Simulation& simulation) {
  const ScenarioSpec& s = simulation.scenario();
  return {{"Scenario", fmt::format("{}, hash {:016x}", s.file, s.hash)},
          {"Model", s.model.name},
          {"Cluster", simulation.topology().spec().name},
          {"Layout", fmt::format("tensor {} x pipeline {} x data {}", s.parallel.tensor,
                                 s.parallel.pipeline, s.parallel.data)},
          {"Costs", "profile " + simulation.profile().name},
          {"Engine", s.engine.preset},
          {"Seed", fmt::format("{}", s.seed)},
          {"Program", "foretoken " FORETOKEN_VERSION}};
}

std::string interval_text(const Result& result, const std::string& metric) {
  const auto it = result.intervals.find(metric);
  return it == result.intervals.end()
             ? ""
             : fmt::format("{} .. {}", cell(it->second.low), cell(it->second.high));
}

struct Metric {
  const char* title;
  const char* name;
};

page::Table metrics_table(const Result& result) {
  page::Table table;
  table.caption = "Metrics";
  table.columns = {{"Metric", false}, {"Estimate"}};
  const bool intervals = !result.intervals.empty();
  if (intervals) {
    table.columns.push_back({fmt::format("{:.0f} % interval", 100 * result.level)});
  }
  const auto metrics = result.point.metrics();
  for (const Metric& metric : {Metric{"Requests per second", "request_throughput"},
                               {"Output tokens per second", "output_throughput"},
                               {"All tokens per second", "total_token_throughput"},
                               {"Requests per second within the targets", "request_goodput"},
                               {"TTFT, mean, ms", "mean_ttft_ms"},
                               {"TTFT, median, ms", "median_ttft_ms"},
                               {"TTFT, p99, ms", "p99_ttft_ms"},
                               {"TPOT, mean, ms", "mean_tpot_ms"},
                               {"TPOT, median, ms", "median_tpot_ms"},
                               {"TPOT, p99, ms", "p99_tpot_ms"},
                               {"ITL, mean, ms", "mean_itl_ms"},
                               {"ITL, p99, ms", "p99_itl_ms"},
                               {"E2E, mean, ms", "mean_e2el_ms"},
                               {"E2E, median, ms", "median_e2el_ms"},
                               {"E2E, p99, ms", "p99_e2el_ms"}}) {
    const auto it = std::find_if(metrics.begin(), metrics.end(),
                                 [&](const auto& m) { return m.first == metric.name; });
    if (it == metrics.end()) {
      continue;
    }
    std::vector<std::string> row{metric.title, cell(it->second)};
    if (intervals) {
      row.push_back(interval_text(result, metric.name));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// Where the step time comes from and goes to: bars of shares.
template <std::size_t N>
page::Chart share_chart(const std::string& title, const std::string& description,
                        const std::string& what, const std::array<double, N>& shares,
                        const std::array<std::string_view, N>& names) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::bar;
  chart.horizontal = true;
  chart.title = title;
  chart.description = description;
  chart.x.title = what;
  chart.y.title = "Share of step time, %";
  chart.series.push_back({"share", {}});
  for (std::size_t i = 0; i < N; ++i) {
    if (shares[i] > 0) {
      chart.categories.emplace_back(names[i]);
      chart.series.front().points.push_back({0, 100 * shares[i]});
    }
  }
  return chart;
}

page::Section summary_section(const Simulation& simulation, const Result& result) {
  const Summary& s = result.point;
  const RunRecord& r = result.record;
  page::Section section{"Summary", {}};
  section.items.emplace_back(page::Text{fmt::format(
      "{} requests completed{} in {} s of simulated time: {} tokens in, {} out. {}", s.completed,
      s.failed > 0 ? fmt::format(", {} refused,", s.failed) : "", cell(s.duration_s),
      s.total_input_tokens, s.total_output_tokens,
      result.intervals.empty()
          ? "No intervals: run without replications."
          : fmt::format("Intervals from {} replications with costs drawn from the profile's "
                        "spread.",
                        result.replications))});
  section.items.emplace_back(metrics_table(result));
  section.items.emplace_back(share_chart("What the numbers rest on",
                                         "Provenance of the step time, strongest first.",
                                         "Provenance", provenance_shares(r), kProvenanceNames));
  section.items.emplace_back(share_chart("Step time by operator",
                                         "Where the steps' time went, over the whole run.",
                                         "Family", family_shares(r), kOpFamilyNames));
  section.items.emplace_back(page::Text{"Memory per GPU: " + simulation.memory().arithmetic()});
  return section;
}

page::Chart quantiles(const Result& result, const std::string& title, const char* name,
                      std::vector<double> values) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::scatter;
  chart.title = title;
  chart.description =
      fmt::format("{} of {} requests, from the fastest to the slowest.", title, values.size());
  chart.x.title = "Share of requests at most this slow, %";
  chart.y = {title + ", ms", true};
  if (values.empty()) {
    return chart;
  }
  std::sort(values.begin(), values.end());
  page::Series series{"requests", {}, true};
  for (int percent = 0; percent <= 100; ++percent) {
    series.points.push_back({static_cast<double>(percent), percentile(values, percent)});
  }
  chart.series.push_back(std::move(series));
  page::Series known{fmt::format("{:.0f} % interval", 100 * result.level), {}};
  for (const auto& [statistic, percent] :
       {std::pair("median", 50), {"p90", 90}, {"p95", 95}, {"p99", 99}}) {
    const auto it = result.intervals.find(fmt::format("{}_{}_ms", statistic, name));
    if (it != result.intervals.end()) {
      known.points.push_back({static_cast<double>(percent), percentile(values, percent),
                              it->second.low, it->second.high, statistic});
    }
  }
  if (!known.points.empty()) {
    chart.series.push_back(std::move(known));
  }
  return chart;
}

page::Section latency_section(const Simulation& simulation, const Result& result) {
  Latencies all = latencies(result.record, simulation.scenario().workload.warmup);
  return {"Latency",
          {quantiles(result, "Time to first token", "ttft", std::move(all.ttft)),
           quantiles(result, "Time per output token", "tpot", std::move(all.tpot)),
           quantiles(result, "Latency of the whole request", "e2el", std::move(all.e2el))}};
}

template <typename Value>
page::Series over_load(const LoadSweep& sweep, const char* name, Value value) {
  page::Series series{name, {}, true};
  for (const LoadPoint& point : sweep.points) {
    series.points.push_back({point.load, value(point.summary)});
  }
  return series;
}

page::Section load_section(const LoadSweep& sweep) {
  page::Section section{"Throughput against load", {}};
  if (sweep.points.empty()) {
    section.items.emplace_back(page::Text{
        "Not drawn: the scenario sends everything at once, or its replicas share links."});
    return section;
  }
  const std::string load = sweep.closed_loop ? "Requests in flight" : "Offered requests per second";
  section.items.emplace_back(page::Text{
      sweep.closed_loop
          ? "The same requests with more and fewer in flight; point estimates."
          : fmt::format("The same requests with their arrivals stretched or squeezed in time; "
                        "point estimates. With all of them there from the start {} requests per "
                        "second are served.",
                        cell(sweep.saturation))});
  page::Chart throughput;
  throughput.kind = page::Chart::Kind::scatter;
  throughput.title = "Throughput against load";
  throughput.description = fmt::format("The scenario's own load is {}.", cell(sweep.own_load));
  throughput.x.title = load;
  throughput.y.title = "Requests per second";
  throughput.series.push_back(
      over_load(sweep, "served", [](const Summary& s) { return s.request_throughput; }));
  if (!sweep.closed_loop) {
    page::Series offered{"offered", {}, true};
    for (const LoadPoint& point : sweep.points) {
      offered.points.push_back({point.load, point.load});
    }
    throughput.series.push_back(std::move(offered));
  }
  section.items.emplace_back(std::move(throughput));
  page::Chart latency;
  latency.kind = page::Chart::Kind::scatter;
  latency.title = "Latency against load";
  latency.description = "Time to first token and time per output token under each load.";
  latency.x.title = load;
  latency.y = {"ms", true};
  latency.series = {over_load(sweep, "TTFT median", [](const Summary& s) { return s.ttft.median; }),
                    over_load(sweep, "TTFT p99", [](const Summary& s) { return s.ttft.p99; }),
                    over_load(sweep, "TPOT median", [](const Summary& s) { return s.tpot.median; }),
                    over_load(sweep, "TPOT p99", [](const Summary& s) { return s.tpot.p99; })};
  section.items.emplace_back(std::move(latency));
  return section;
}

page::Section timeline_section(const Simulation& simulation, const RunRecord& r) {
  const auto chart = [](const char* title, const char* description, const char* unit,
                        std::vector<page::Series> series) {
    page::Chart c;
    c.title = title;
    c.description = description;
    c.x.title = "Time, s";
    c.y.title = unit;
    c.series = std::move(series);
    return c;
  };
  const auto& t = r.timeline;
  const double capacity =
      static_cast<double>(r.kv_blocks) *
      static_cast<double>(std::max<std::size_t>(1, simulation.placements().size()));
  return {"Timeline",
          {page::Text{fmt::format("{} stretches of equal length: the mean, and as a band the least "
                                  "and the largest value. Queue, running requests and KV cache are "
                                  "those of all replicas, after each step.",
                                  kBins)},
           chart("Queue", "Requests that wait for the engine and requests that run.", "Requests",
                 {state_series(t, &StepSample::waiting, r.end, kBins, "waiting"),
                  state_series(t, &StepSample::running, r.end, kBins, "running")}),
           chart("Sequences in a batch", "Sequences decoded in a step.", "Sequences per step",
                 {step_series(t, &StepSample::decode_sequences, r.end, kBins, "sequences")}),
           chart("Prompt tokens in a batch", "Prompt tokens computed in a step.", "Tokens per step",
                 {step_series(t, &StepSample::prefill_tokens, r.end, kBins, "prompt tokens")}),
           chart("KV cache", "Blocks in use, of all there are.", "Use, %",
                 {state_series(t, &StepSample::kv_blocks, r.end, kBins, "KV cache",
                               capacity > 0 ? 100 / capacity : 0)})}};
}

page::Chart waterfall(const std::string& title, const std::string& description,
                      const std::vector<Part>& parts) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::waterfall;
  chart.horizontal = true;
  chart.title = title;
  chart.description = description;
  chart.x.title = "Term";
  chart.y.title = "ms";
  chart.series.push_back({"ms", {}});
  for (const Part& part : parts) {
    chart.categories.push_back(part.name);
    chart.series.front().points.push_back({0, to_millis(part.time)});
  }
  return chart;
}

page::Table terms_table(const StepTerms& step) {
  page::Table table;
  table.caption = step.title;
  table.columns = {
      {"Operator", false}, {"Family", false}, {"ms"}, {"Share, %"}, {"Provenance", false}};
  for (const Term& term : step.terms) {
    const double share = step.total > kTimeZero ? 100.0 * static_cast<double>(term.time.count()) /
                                                      static_cast<double>(step.total.count())
                                                : 0;
    table.rows.push_back({term.name,
                          std::string(kOpFamilyNames[static_cast<std::size_t>(term.family)]),
                          cell(to_millis(term.time)), fmt::format("{:.1f}", share),
                          std::string(name(term.provenance)) +
                              (term.extrapolated ? ", outside the calibrated range" : "")});
  }
  return table;
}

page::Section waterfall_section(const Explanation& e) {
  return {"Where the time goes",
          {waterfall("Time to first token, term by term",
                     "Mean of the run: waiting for the first step, a prompt of the mean length "
                     "alone, and what other requests in its steps add.",
                     e.ttft),
           waterfall("Time per output token, term by term",
                     "Mean of the run: an average decode step, and what steps shared with prompts "
                     "add.",
                     e.tpot),
           terms_table(e.prefill), terms_table(e.decode)}};
}

page::Chart difference_chart(const std::string& title, const std::vector<PartPair>& pairs) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::bar;
  chart.horizontal = true;
  chart.title = title;
  chart.description = "Each term in both scenarios.";
  chart.x.title = "Term";
  chart.y.title = "ms";
  chart.series = {{"A", {}}, {"B", {}}};
  for (const PartPair& pair : pairs) {
    chart.categories.push_back(pair.name);
    chart.series[0].points.push_back({0, to_millis(pair.a)});
    chart.series[1].points.push_back({0, to_millis(pair.b)});
  }
  return chart;
}

}  // namespace

page::Document run_page(const Simulation& simulation, const Result& result,
                        const std::vector<std::string>& warnings, const LoadSweep& sweep) {
  page::Document document;
  document.title =
      fmt::format("{} on {}", simulation.scenario().model.name, simulation.topology().spec().name);
  document.subtitle = "Predicted latency and throughput";
  document.facts = scenario_facts(simulation);
  document.facts.emplace_back("Provenance of step time",
                              share_text(provenance_shares(result.record)));
  document.facts.emplace_back("Replications", fmt::format("{}", result.replications));
  document.warnings = warnings;
  const RunRecord& r = result.record;
  document.sections = {
      summary_section(simulation, result),
      latency_section(simulation, result),
      load_section(sweep),
      timeline_section(simulation, r),
      waterfall_section(explain(simulation, result)),
      {"Cluster",
       {topology_drawing(simulation.topology(), link_bytes(simulation, r.timeline), r.end)}}};
  return document;
}

page::Document explain_page(const Simulation& simulation, const Explanation& explanation,
                            const std::vector<std::string>& warnings) {
  page::Document document;
  document.title = fmt::format("{} on {}: where the time goes", simulation.scenario().model.name,
                               simulation.topology().spec().name);
  document.facts = scenario_facts(simulation);
  document.warnings = warnings;
  document.sections = {waterfall_section(explanation)};
  document.sections.front().items.emplace_back(
      page::Text{"Memory per GPU: " + simulation.memory().arithmetic()});
  return document;
}

page::Document difference_page(const Explained& a, const Explained& b,
                               const std::vector<std::string>& warnings) {
  page::Document document;
  document.title = "Where two scenarios differ";
  for (const auto& [letter, side] : {std::pair("A", a), std::pair("B", b)}) {
    for (const auto& [name, value] : scenario_facts(side.simulation)) {
      document.facts.emplace_back(fmt::format("{}: {}", letter, name), value);
    }
  }
  document.warnings = warnings;
  document.sections = {
      {"Term by term",
       {difference_chart("Time to first token", pair_up(a.explanation.ttft, b.explanation.ttft)),
        difference_chart("Time per output token",
                         pair_up(a.explanation.tpot, b.explanation.tpot))}}};
  return document;
}

}  // namespace foretoken::reports
