// `foretoken plan --html`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "reports/plan_report.h"
#include "reports/run_report.h"

namespace foretoken::reports {
namespace {

using plan::PlanResult;
using plan::PlanRow;
using plan::Space;

std::string cost_title(const Space& space) { return space.priced() ? "Cost per hour" : "GPUs"; }

std::string cost_text(const Space& space, double cost) {
  return space.priced() ? fmt::format("{:.2f}", cost) : fmt::format("{:.0f}", cost);
}

// The layout without its cluster, which names the series.
std::string layout(const Space& space, const PlanRow& row) {
  const plan::Configuration& c = space.at(row.configuration);
  return fmt::format("t{} p{} d{} {}", c.tensor, c.pipeline, c.data, to_string(c.weights));
}

// The front over cost, a series per cluster.
template <class Value>
page::Chart front_chart(const Space& space, const PlanResult& result, Value value) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::scatter;
  chart.x.title = cost_title(space);
  for (const PlanRow& row : result.front) {
    const std::string& cluster = space.candidate(row.configuration).topology->spec().name;
    auto it = std::find_if(chart.series.begin(), chart.series.end(),
                           [&](const page::Series& s) { return s.name == cluster; });
    if (it == chart.series.end()) {
      it = chart.series.insert(chart.series.end(), page::Series{cluster, {}});
    }
    page::Point point = value(row);
    point.x = row.cost;
    point.label = layout(space, row);
    it->points.push_back(std::move(point));
  }
  return chart;
}

page::Chart rate_chart(const Space& space, const PlanResult& result) {
  page::Chart chart = front_chart(space, result, [](const PlanRow& row) {
    page::Point point;
    point.y = row.rate;
    if (row.intervals) {
      point.low = std::min(row.intervals->rate.low, row.rate);
      point.high = std::max(row.intervals->rate.high, row.rate);
    }
    return point;
  });
  chart.title = "Rate against cost";
  chart.description = fmt::format(
      "Plans of the Pareto front: the highest rate within the targets; {} requests a second are "
      "required. Whiskers are 90 % intervals of the plans shown below.",
      cell(space.required_rate()));
  chart.y.title = "Requests per second within the targets";
  return chart;
}

page::Chart latency_chart(const Space& space, const PlanResult& result) {
  page::Chart chart = front_chart(space, result, [](const PlanRow& row) {
    page::Point point;
    point.y = 100 * row.latency;
    return point;
  });
  chart.title = "Latency against cost";
  chart.description =
      "Plans of the Pareto front at the required rate: the latency nearest to its target, as a "
      "share of it.";
  chart.y.title = "Latency, % of the target";
  return chart;
}

std::string ranged(double value, const std::optional<plan::PlanIntervals>& intervals,
                   Interval plan::PlanIntervals::*which, double scale) {
  std::string out = cell(value * scale);
  if (intervals) {
    const Interval& i = (*intervals).*which;
    out += fmt::format(" ({} .. {})", cell(i.low * scale), cell(i.high * scale));
  }
  return out;
}

std::string left(const plan::AfterFailure& after) {
  return after.replicas == 0 ? "nothing" : fmt::format("{}/s", cell(after.rate));
}

page::Table front_table(const Space& space, const PlanResult& result) {
  page::Table table;
  table.caption =
      fmt::format("Plans of the front that were run in full, {} of {}; in brackets 90 % intervals",
                  std::count_if(result.front.begin(), result.front.end(),
                                [](const PlanRow& row) { return row.shown; }),
                  result.front.size());
  table.columns = {{"Plan", false},
                   {cost_title(space)},
                   {"GPUs"},
                   {fmt::format("TTFT p{:g}, ms", space.targets().percentile)},
                   {fmt::format("TPOT p{:g}, ms", space.targets().percentile)},
                   {"Rate within targets, 1/s"},
                   {"A GPU fails"},
                   {"A node fails"}};
  for (const PlanRow& row : result.front) {
    if (row.shown) {
      table.rows.push_back(
          {space.label(row.configuration), cost_text(space, row.cost), fmt::format("{}", row.gpus),
           ranged(row.outcome.ttft, row.intervals, &plan::PlanIntervals::ttft, 1e3),
           ranged(row.outcome.tpot, row.intervals, &plan::PlanIntervals::tpot, 1e3),
           ranged(row.rate, row.intervals, &plan::PlanIntervals::rate, 1), left(row.gpu_fails),
           left(row.node_fails)});
    }
  }
  return table;
}

page::Table counts_table(const PlanResult& result) {
  page::Table table{"What became of every configuration", {{"Configurations"}, {"", false}}, {}};
  for (std::size_t fate = 0; fate < plan::kFateCount; ++fate) {
    if (result.fates[fate] > 0) {
      table.rows.push_back(
          {fmt::format("{}", result.fates[fate]), std::string(plan::kFateMeanings[fate])});
    }
  }
  return table;
}

page::Table runners_up_table(const Space& space, const PlanResult& result) {
  page::Table table{
      "Why not another", {{"Plan", false}, {cost_title(space)}, {"Reason", false}}, {}};
  for (const plan::RunnerUp& other : result.runners_up) {
    table.rows.push_back(
        {space.label(other.configuration), cost_text(space, other.cost), other.reason});
  }
  return table;
}

page::Section answer(const Space& space, const PlanResult& result) {
  page::Section section{"Answer", {}};
  if (!result.obstacle) {
    const PlanRow& best = result.front[result.cheapest];
    section.items.emplace_back(page::Text{
        fmt::format("Cheapest plan: {}, {} {}.", space.label(best.configuration),
                    space.priced() ? "cost per hour" : "GPUs", cost_text(space, best.cost))});
    return section;
  }
  section.items.emplace_back(
      page::Text{fmt::format("No plan meets the targets. {} binds.", result.obstacle->limit)});
  section.items.emplace_back(page::Text{result.obstacle->finding});
  for (const std::string& remedy : result.obstacle->remedies) {
    section.items.emplace_back(page::Text{"Would lift it: " + remedy});
  }
  return section;
}

}  // namespace

page::Document page_of(const Space& space, const PlanResult& result,
                       const std::vector<std::string>& notes) {
  const ScenarioSpec& scenario = space.problem().scenario;
  page::Document document;
  document.title = fmt::format("{}: plan for {} requests a second", scenario.model.name,
                               cell(space.required_rate()));
  document.facts = {
      {"Targets", target_text(space.targets())},
      {"Configurations", fmt::format("{}, {} simulated", space.size(), result.outcomes.size())},
      {"Runs",
       fmt::format("{} of {} requests", result.runs, space.problem().workload.requests.size())},
      {"Scenario", fmt::format("{} (hash {:016x})", scenario.file, scenario.hash)},
      {"Seed", fmt::format("{}", scenario.seed)},
      {"Replications", fmt::format("{}", result.replications)}};
  document.warnings = notes;
  document.sections.push_back(answer(space, result));
  if (!result.front.empty()) {
    document.sections.push_back(
        {"Pareto front",
         {rate_chart(space, result), latency_chart(space, result), front_table(space, result)}});
  }
  page::Section others{"The others", {counts_table(result)}};
  if (!result.runners_up.empty()) {
    others.items.emplace_back(runners_up_table(space, result));
  }
  document.sections.push_back(std::move(others));
  return document;
}

}  // namespace foretoken::reports
