// `foretoken compare --html`.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "reports/compare_report.h"

namespace foretoken::reports {
namespace {

constexpr std::size_t kMostBars = 60;

// The values of all keys but the first, or of the only one: what a point is called within its
// series.
std::string point_name(const SweepRow& row) {
  std::string name;
  for (std::size_t i = row.values.size() > 1 ? 1 : 0; i < row.values.size(); ++i) {
    name += (name.empty() ? "" : " ") + row.values[i];
  }
  return name;
}

std::optional<double> finite_value(const SweepRow& row, const Measure& measure) {
  const auto value = row.reason.empty() ? measure.value(row) : std::nullopt;
  return value && std::isfinite(*value) ? value : std::nullopt;
}

page::Point point_of(const SweepRow& row, const Measure& measure, double x) {
  page::Point point;
  point.x = x;
  point.y = *measure.value(row);
  if (const auto interval = measure.interval(row)) {
    point.low = interval->low;
    point.high = interval->high;
  }
  return point;
}

// Speed over a signal-to-noise ratio, a series per value of the first key. Nothing where fewer than
// two rows have both or all errors are alike.
std::optional<page::Chart> speed_against_error(const Comparison& comparison, const Measure& speed,
                                               const Measure& error) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::scatter;
  chart.title = fmt::format("{} against {}", speed.title, error.title);
  chart.description =
      "A point is a row: down is faster, to the right is more exact. Rows without error are left "
      "out. Whiskers are 90 % intervals.";
  chart.x.title = fmt::format("{} (signal-to-noise ratio)", error.title);
  chart.y.title = std::string(speed.title);
  std::set<double> errors;
  for (const SweepRow& row : comparison.rows) {
    const auto x = finite_value(row, error);
    if (!x || !finite_value(row, speed)) {
      continue;
    }
    errors.insert(*x);
    const std::string series =
        row.values.size() > 1
            ? fmt::format("{}={}", comparison.keys.front().key, row.values.front())
            : comparison.keys.front().key;
    auto it = std::find_if(chart.series.begin(), chart.series.end(),
                           [&](const page::Series& s) { return s.name == series; });
    if (it == chart.series.end()) {
      it = chart.series.insert(chart.series.end(), page::Series{series, {}});
    }
    page::Point point = point_of(row, speed, *x);
    point.label = point_name(row);
    it->points.push_back(std::move(point));
  }
  return errors.size() > 1 ? std::optional(chart) : std::nullopt;
}

std::optional<page::Chart> bars(const Comparison& comparison, const Measure& measure) {
  page::Chart chart;
  chart.kind = page::Chart::Kind::bar;
  chart.horizontal = true;
  chart.title = fmt::format("{} by row", measure.title);
  chart.description = "Whiskers are 90 % intervals.";
  chart.x.title = "Row";
  chart.y.title = std::string(measure.title);
  chart.series.push_back({std::string(measure.title), {}});
  for (const SweepRow& row : comparison.rows) {
    if (finite_value(row, measure)) {
      std::string name;
      for (const std::string& value : row.values) {
        name += (name.empty() ? "" : " ") + value;
      }
      chart.categories.push_back(name);
      chart.series.front().points.push_back(point_of(row, measure, 0));
    }
  }
  const std::size_t count = chart.categories.size();
  return count > 1 && count <= kMostBars ? std::optional(chart) : std::nullopt;
}

page::Table rows_table(const Comparison& comparison) {
  page::Table table;
  table.caption = "* best, = tie with it, ~ overlaps it but is worse with the same draws of costs";
  table.columns.push_back({"Row", false});
  for (const SweepRow& row : comparison.rows) {
    table.rows.push_back({row_name(comparison, row)});
  }
  for (const Measure& measure : measures()) {
    const std::vector<Standing> standing = standings(comparison.rows, measure);
    if (std::all_of(standing.begin(), standing.end(),
                    [](Standing s) { return s == Standing::none; })) {
      continue;
    }
    table.columns.push_back({std::string(measure.title)});
    for (std::size_t i = 0; i < standing.size(); ++i) {
      table.rows[i].push_back(marked_value(comparison.rows[i], measure, standing[i]));
    }
  }
  return table;
}

}  // namespace

page::Document page_of(const Comparison& comparison) {
  const ScenarioSpec& scenario = comparison.scenario;
  page::Document document;
  document.title = fmt::format("{}: {} rows compared", scenario.model.name, comparison.rows.size());
  for (const VaryKey& key : comparison.keys) {
    document.facts.emplace_back(key.key, fmt::format("{}", fmt::join(key.values, ", ")));
  }
  document.facts.emplace_back("Scenario",
                              fmt::format("{} (hash {:016x})", scenario.file, scenario.hash));
  document.facts.emplace_back("Seed", fmt::format("{}", scenario.seed));
  document.facts.emplace_back("Replications", fmt::format("{}", comparison.replications));
  if (!comparison.error_data.empty()) {
    document.facts.emplace_back("Errors measured on", comparison.error_data);
  }
  document.warnings = warnings(comparison);
  page::Section charts{"Speed and error", {}};
  for (const auto& [speed, error] : {std::pair("mean_ttft_ms", "all_reduce_plain_snr_db"),
                                     std::pair("mean_ttft_ms", "all_reduce_bulk_snr_db"),
                                     std::pair("mean_tpot_ms", "gemm_snr_db")}) {
    if (const auto chart = speed_against_error(comparison, measure(speed), measure(error))) {
      charts.items.emplace_back(*chart);
    }
  }
  for (const char* name : {"mean_ttft_ms", "mean_tpot_ms"}) {
    if (const auto chart = bars(comparison, measure(name))) {
      charts.items.emplace_back(*chart);
    }
  }
  page::Section rows{"Rows", {rows_table(comparison)}};
  std::set<std::size_t> published;
  for (const SweepRow& row : comparison.rows) {
    if (!row.reason.empty()) {
      rows.items.emplace_back(
          page::Text{fmt::format("{}: {}", row_name(comparison, row), row.reason)});
    }
    const auto found = published_for(comparison, row);
    published.insert(found.begin(), found.end());
  }
  document.sections = {rows};
  if (!charts.items.empty()) {
    document.sections.insert(document.sections.begin(), charts);
  }
  if (!published.empty()) {
    page::Section section{"Published accuracy of this family at these widths", {}};
    for (const std::size_t i : published) {
      section.items.emplace_back(page::Text{published_line(comparison.accuracy[i])});
    }
    document.sections.push_back(section);
  }
  return document;
}

}  // namespace foretoken::reports
