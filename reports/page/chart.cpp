#include "reports/page/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/core/error.h"

namespace foretoken::page {
namespace {

constexpr std::array<std::string_view, 5> kKindNames{"line", "scatter", "bar", "stacked",
                                                     "waterfall"};

bool has_categories(const Chart& chart) {
  return chart.kind != Chart::Kind::line && chart.kind != Chart::Kind::scatter;
}

bool has_interval(const Series& series) {
  return std::any_of(series.points.begin(), series.points.end(),
                     [](const Point& p) { return std::isfinite(p.low) || std::isfinite(p.high); });
}

// null for a gap; the same six digits as number().
nlohmann::ordered_json value(double v) {
  return std::isfinite(v) ? nlohmann::ordered_json(std::stod(number(v))) : nlohmann::ordered_json();
}

std::string cell(double v) { return std::isfinite(v) ? number(v) : ""; }

nlohmann::ordered_json series_json(const Chart& chart, const Series& series) {
  nlohmann::ordered_json json{{"name", series.name}, {"joined", series.joined}};
  const bool interval = has_interval(series);
  const bool labels = std::any_of(series.points.begin(), series.points.end(),
                                  [](const Point& p) { return !p.label.empty(); });
  json["y"] = nlohmann::ordered_json::array();
  if (!has_categories(chart)) {
    json["x"] = nlohmann::ordered_json::array();
  }
  for (const Point& p : series.points) {
    if (!has_categories(chart)) {
      json["x"].push_back(value(p.x));
    }
    json["y"].push_back(value(p.y));
    if (interval) {
      json["low"].push_back(value(p.low));
      json["high"].push_back(value(p.high));
    }
    if (labels) {
      json["label"].push_back(p.label);
    }
  }
  return json;
}

void check(const Chart& chart) {
  if (!has_categories(chart)) {
    return;
  }
  for (const Series& series : chart.series) {
    FT_CHECK(series.points.size() == chart.categories.size(),
             "chart \"{}\": {} points in series \"{}\" for {} categories", chart.title,
             series.points.size(), series.name, chart.categories.size());
  }
  FT_CHECK(chart.kind != Chart::Kind::waterfall || chart.series.size() == 1);
}

// Series that share their x make one row per x; else each point has a row of its own.
bool same_x(const Chart& chart) {
  const auto& first = chart.series.front().points;
  return std::all_of(chart.series.begin(), chart.series.end(), [&](const Series& s) {
    return std::equal(s.points.begin(), s.points.end(), first.begin(), first.end(),
                      [](const Point& a, const Point& b) {
                        return a.x == b.x && a.label.empty() && b.label.empty();
                      });
  });
}

void add_columns(Table& table, const Series& series, const std::string& title) {
  table.columns.push_back({title});
  if (has_interval(series)) {
    table.columns.push_back({title + ", low"});
    table.columns.push_back({title + ", high"});
  }
}

void add_cells(std::vector<std::string>& row, const Series& series, const Point& point) {
  row.push_back(cell(point.y));
  if (has_interval(series)) {
    row.push_back(cell(point.low));
    row.push_back(cell(point.high));
  }
}

Table wide_table(const Chart& chart) {
  Table table;
  table.columns.push_back({chart.x.title, !has_categories(chart)});
  for (const Series& series : chart.series) {
    const std::string unit = chart.y.title.empty() ? "" : ": " + chart.y.title;
    add_columns(table, series, chart.series.size() == 1 ? chart.y.title : series.name + unit);
  }
  for (std::size_t i = 0; i < chart.series.front().points.size(); ++i) {
    std::vector<std::string> row;
    row.push_back(has_categories(chart) ? chart.categories[i]
                                        : cell(chart.series.front().points[i].x));
    for (const Series& series : chart.series) {
      add_cells(row, series, series.points[i]);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table long_table(const Chart& chart) {
  Table table;
  table.columns = {{"Point", false}, {"Series", false}, {chart.x.title}, {chart.y.title}};
  const bool interval = std::any_of(chart.series.begin(), chart.series.end(), has_interval);
  if (interval) {
    table.columns.push_back({chart.y.title + ", low"});
    table.columns.push_back({chart.y.title + ", high"});
  }
  int index = 0;
  for (const Series& series : chart.series) {
    for (const Point& p : series.points) {
      ++index;
      std::vector<std::string> row{p.label.empty() ? fmt::format("{}", index) : p.label,
                                   series.name, cell(p.x), cell(p.y)};
      if (interval) {
        row.push_back(cell(p.low));
        row.push_back(cell(p.high));
      }
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

}  // namespace

std::string number(double value) { return fmt::format("{:.6g}", value); }

std::string chart_json(const Chart& chart) {
  check(chart);
  nlohmann::ordered_json json;
  json["kind"] = kKindNames[static_cast<std::size_t>(chart.kind)];
  json["horizontal"] = chart.horizontal;
  json["x"] = {{"title", chart.x.title}, {"logarithmic", chart.x.logarithmic}};
  json["y"] = {{"title", chart.y.title}, {"logarithmic", chart.y.logarithmic}};
  json["categories"] = chart.categories;
  auto& list = json["series"] = nlohmann::ordered_json::array();
  for (const Series& series : chart.series) {
    list.push_back(series_json(chart, series));
  }
  std::string text = json.dump();
  // "</script>" in a name must not end the element that holds this.
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    text.replace(at, 1, "\\u003c");
  }
  return text;
}

Table chart_table(const Chart& chart) {
  check(chart);
  Table table;
  if (!chart.series.empty()) {
    table = has_categories(chart) || same_x(chart) ? wide_table(chart) : long_table(chart);
  }
  if (chart.kind == Chart::Kind::waterfall) {
    double sum = 0;
    for (const Point& p : chart.series.front().points) {
      sum += p.y;
    }
    table.rows.push_back({"Sum", cell(sum)});
    table.rows.back().resize(table.columns.size());
  }
  table.caption = chart.title;
  return table;
}

}  // namespace foretoken::page
