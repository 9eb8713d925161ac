#include "reports/compare_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "reports/run_report.h"

namespace foretoken::reports {
namespace {

constexpr std::size_t kWidth = 100;
// In the order of the enumeration.
constexpr std::string_view kStandingNames[] = {"", "best", "tie", "close", "worse"};
constexpr std::string_view kStandingMarks[] = {" ", "*", "=", "~", " "};
// Of the percentiles only JSON and CSV tell: a table has to be read.
constexpr std::string_view kTextMeasures[] = {"mean_ttft_ms",
                                              "mean_tpot_ms",
                                              "output_throughput",
                                              "request_goodput",
                                              "cost_per_million_output_tokens",
                                              "memory_gb_per_gpu",
                                              "largest_batch",
                                              "energy_j_per_output_token_at_power_limit",
                                              "weights_snr_db",
                                              "gemm_snr_db",
                                              "all_reduce_plain_snr_db",
                                              "all_reduce_snr_db",
                                              "all_reduce_bulk_snr_db"};

std::string_view name(Standing standing) {
  return kStandingNames[static_cast<std::size_t>(standing)];
}
std::string_view mark(Standing standing) {
  return kStandingMarks[static_cast<std::size_t>(standing)];
}

std::optional<Interval> interval_of(const SweepRow& row, const Measure& measure) {
  return measure.interval != nullptr ? measure.interval(row) : std::nullopt;
}

std::string value_text(const Measure& measure, double value) {
  if (std::isinf(value)) {
    return "exact";
  }
  if (measure.name.ends_with("_db")) {
    return fmt::format("{:.1f}", value);
  }
  return measure.name == "largest_batch" ? fmt::format("{:.0f}", value) : cell(value);
}

// The last part of the key says enough, unless another key ends alike.
std::vector<std::string> key_titles(const std::vector<VaryKey>& keys) {
  std::vector<std::string> titles, full;
  titles.reserve(keys.size());
  full.reserve(keys.size());
  for (const VaryKey& key : keys) {
    titles.push_back(key.key.substr(key.key.rfind('.') + 1));
    full.push_back(key.key);
  }
  const std::set<std::string> different(titles.begin(), titles.end());
  return different.size() == titles.size() ? titles : full;
}

struct Column {
  std::string title;
  std::vector<std::string> cells;  // a row each
  std::size_t width = 0;

  void add(std::string text) {
    width = std::max(width, text.size());
    cells.push_back(std::move(text));
  }
};

std::vector<Column> label_columns(const Comparison& comparison) {
  std::vector<Column> columns;
  const std::vector<std::string> titles = key_titles(comparison.keys);
  for (std::size_t key = 0; key < comparison.keys.size(); ++key) {
    Column column{titles[key], {}, titles[key].size()};
    for (const SweepRow& row : comparison.rows) {
      column.add(row.values[key] +
                 (key + 1 == comparison.keys.size() && row.point.overload ? " !" : ""));
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

std::vector<Column> measure_columns(const Comparison& comparison) {
  std::vector<Column> columns;
  for (const std::string_view name : kTextMeasures) {
    const Measure& measure = foretoken::measure(name);
    const std::vector<Standing> standing = standings(comparison.rows, measure);
    if (std::all_of(standing.begin(), standing.end(),
                    [](Standing s) { return s == Standing::none; })) {
      continue;
    }
    // Values line up at their marks.
    std::size_t before = 0;
    std::vector<std::string> cells;
    for (std::size_t i = 0; i < standing.size(); ++i) {
      cells.push_back(marked_value(comparison.rows[i], measure, standing[i]));
      before = std::max(before, std::min(cells.back().find(' '), cells.back().size()));
    }
    Column column{std::string(measure.title), {}, measure.title.size()};
    for (const std::string& text : cells) {
      const std::size_t end = std::min(text.find(' '), text.size());
      column.add(std::string(before - std::min(before, end), ' ') + text);
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

std::string line_of(const std::vector<const Column*>& columns, std::size_t row) {
  std::string line;
  for (const Column* column : columns) {
    line +=
        fmt::format("{:<{}}  ", row == 0 ? column->title : column->cells[row - 1], column->width);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

// As many measures side by side as fit, then the next block of rows.
std::string tables(const Comparison& comparison) {
  const std::vector<Column> labels = label_columns(comparison);
  const std::vector<Column> columns = measure_columns(comparison);
  std::string out;
  std::size_t next = 0;
  while (next < columns.size()) {
    std::vector<const Column*> block;
    std::size_t width = 0;
    for (const Column& label : labels) {
      block.push_back(&label);
      width += label.width + 2;
    }
    const std::size_t first = next;
    while (next < columns.size() && (next == first || width + columns[next].width <= kWidth)) {
      width += columns[next].width + 2;
      block.push_back(&columns[next++]);
    }
    for (std::size_t row = 0; row <= comparison.rows.size(); ++row) {
      out += line_of(block, row);
    }
    out += "\n";
  }
  return out;
}

std::string reasons(const Comparison& comparison) {
  std::string out;
  for (const SweepRow& row : comparison.rows) {
    if (!row.reason.empty()) {
      out += wrap(fmt::format("- {}: {}", row_name(comparison, row), row.reason), 2);
    }
  }
  return out;
}

bool any(const Comparison& comparison, bool (*test)(const SweepRow&)) {
  return std::any_of(comparison.rows.begin(), comparison.rows.end(), test);
}

std::string legend(const Comparison& comparison) {
  std::string out;
  if (comparison.rows.size() > 1) {
    out += wrap(
        "* best. = tie: the 90 % interval overlaps the best's, or the values are equal. ~ overlaps "
        "too, but with the same draws of costs the best is better (90 %)." +
            std::string(comparison.replications >= 2
                            ? ""
                            : " Speeds have no intervals: that takes --replications 2 or more."),
        2);
  }
  if (any(comparison, [](const SweepRow& r) { return r.point.overload.has_value(); })) {
    out += wrap(
        "! overloaded: requests arrive faster than they are served; times grow with the "
        "length of the run.",
        2);
  }
  out += wrap(
      "GB/GPU: all but the KV cache. batch: sequences of mean length whose KV cache fits in "
      "a replica.",
      2);
  if (any(comparison, [](const SweepRow& r) { return r.power > 0; })) {
    out += wrap("J/token: per output token, at the GPUs' power limit: an upper bound.", 2);
  }
  if (!comparison.error_data.empty()) {
    out += wrap(
        "dB: energy of the exact values over that of the error; 6 dB are a bit. \"beside spikes\": "
        "over the values of at most 32 times the median magnitude. On " +
            comparison.error_data + ".",
        2);
  }
  return out;
}

std::string formats_text(const PublishedAccuracy& row) {
  std::string text;
  const auto add = [&](const char* what, const std::optional<Format>& format) {
    if (format) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, to_string(*format));
    }
  };
  add("weights", row.weights);
  add("activations", row.activations);
  add("all-reduce", row.all_reduce);
  return text;
}

std::string published_text(const Comparison& comparison) {
  std::set<std::size_t> used;
  for (const SweepRow& row : comparison.rows) {
    const auto found = published_for(comparison, row);
    used.insert(found.begin(), found.end());
  }
  std::string out;
  for (const std::size_t i : used) {
    out += wrap("- " + published_line(comparison.accuracy[i]), 2);
  }
  return out.empty() ? ""
                     : "\nPublished accuracy of this family at these widths (other methods and "
                       "checkpoints):\n" +
                           out;
}

nlohmann::ordered_json finite(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

nlohmann::ordered_json measures_json(const SweepRow& row, std::size_t index,
                                     const std::vector<std::vector<Standing>>& standing) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (std::size_t m = 0; m < measures().size(); ++m) {
    const Measure& measure = measures()[m];
    if (standing[m][index] == Standing::none) {
      json[std::string(measure.name)] = nullptr;
      continue;
    }
    const double value = *measure.value(row);
    auto& entry = json[std::string(measure.name)] = {{"value", finite(value)}};
    if (std::isinf(value)) {
      entry["exact"] = true;
    }
    if (const auto interval = interval_of(row, measure)) {
      entry["low"] = finite(interval->low);
      entry["high"] = finite(interval->high);
    }
    entry["standing"] = name(standing[m][index]);
  }
  return json;
}

nlohmann::ordered_json accuracy_json(const PublishedAccuracy& row) {
  nlohmann::ordered_json json{{"model", row.model},           {"family", row.family},
                              {"formats", formats_text(row)}, {"method", row.method},
                              {"benchmark", row.benchmark},   {"recovery", row.recovery}};
  if (row.score && row.baseline) {
    json["baseline"] = *row.baseline;
    json["score"] = *row.score;
  }
  json["source"] = row.source;
  return json;
}

void put_methods(nlohmann::ordered_json& json, const SweepRow& row) {
  const auto put = [&](const char* what, const std::optional<ErrorFigure>& figure) {
    json[what] = figure ? nlohmann::ordered_json(figure->method) : nlohmann::ordered_json();
  };
  put("weights", row.weights_error);
  put("gemm", row.gemm_error);
  put("all_reduce", row.all_reduce_error);
}

nlohmann::ordered_json row_json(const Comparison& comparison, std::size_t index,
                                const std::vector<std::vector<Standing>>& standing) {
  const SweepRow& row = comparison.rows[index];
  nlohmann::ordered_json json;
  auto& values = json["values"] = nlohmann::ordered_json::object();
  for (std::size_t key = 0; key < comparison.keys.size(); ++key) {
    values[comparison.keys[key].key] = row.values[key];
  }
  json["reason"] =
      row.reason.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.reason);
  if (!row.reason.empty()) {
    return json;
  }
  json["measures"] = measures_json(row, index, standing);
  json["completed"] = row.point.completed;
  json["failed"] = row.point.failed;
  json["overloaded"] = row.point.overload.has_value();
  json["gpus"] = row.gpus;
  json["max_num_seqs"] = row.max_num_seqs;
  json["memory"] = {{"weight_bytes", row.memory.weights.count},
                    {"kv_bytes", row.memory.kv_available.count},
                    {"kv_blocks", row.memory.blocks}};
  json["all_reduce_algorithm"] = row.algorithm;
  put_methods(json["error_measured_as"], row);
  auto& provenance = json["provenance"] = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < kProvenanceCount; ++i) {
    provenance[std::string(kProvenanceNames[i])] = row.provenance[i];
  }
  json["extrapolated"] = row.extrapolated;
  json["published"] = published_for(comparison, row);
  return json;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c == '"' ? "\"\"" : std::string(1, c);
  }
  return quoted + "\"";
}

std::vector<std::vector<Standing>> all_standings(const Comparison& comparison) {
  std::vector<std::vector<Standing>> standing;
  standing.reserve(measures().size());
  for (const Measure& measure : measures()) {
    standing.push_back(standings(comparison.rows, measure));
  }
  return standing;
}

}  // namespace

std::string marked_value(const SweepRow& row, const Measure& measure, Standing standing) {
  if (standing == Standing::none) {
    return "- ";
  }
  std::string text = value_text(measure, *measure.value(row)) + std::string(mark(standing));
  if (const auto interval = interval_of(row, measure)) {
    const std::string low = value_text(measure, interval->low),
                      high = value_text(measure, interval->high);
    text += low == high ? "" : fmt::format(" {}..{}", low, high);
  }
  return text;
}

std::string row_name(const Comparison& comparison, const SweepRow& row) {
  std::string name;
  for (std::size_t i = 0; i < comparison.keys.size(); ++i) {
    name += fmt::format("{}{}={}", i > 0 ? " " : "", comparison.keys[i].key, row.values[i]);
  }
  return name;
}

std::vector<std::string> warnings(const Comparison& comparison) {
  std::vector<std::string> lines = comparison.notes;
  double assumed = 0;
  for (const SweepRow& row : comparison.rows) {
    assumed = std::max(assumed, row.provenance[static_cast<std::size_t>(Provenance::assumed)]);
  }
  if (assumed > 0) {
    lines.push_back(
        fmt::format("up to {:.1f} % of a row's step time rests on assumed numbers, not on "
                    "measurements; `foretoken explain` shows which",
                    100 * assumed));
  }
  if (any(comparison, [](const SweepRow& r) { return r.extrapolated; })) {
    lines.emplace_back("some operators lie outside the range the profile was calibrated on");
  }
  return lines;
}

std::string published_line(const PublishedAccuracy& row) {
  return fmt::format("{}, {}: {:.1f} % of {} left. {}. Source: {}", row.model, formats_text(row),
                     100 * row.recovery, row.benchmark, row.method, row.source);
}

std::vector<std::size_t> published_for(const Comparison& comparison, const SweepRow& row) {
  const auto alike = [](const std::optional<Format>& published, const Format& format) {
    return !published || (published->kind == format.kind && published->bits == format.bits);
  };
  // What the row narrows and the publication does not is not covered by it.
  const auto left_alone = [](const std::optional<Format>& published, const Format& format) {
    return published || !format.quantised();
  };
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < comparison.accuracy.size() && row.reason.empty(); ++i) {
    const PublishedAccuracy& published = comparison.accuracy[i];
    const bool gemm = published.weights || published.activations;
    const bool matches = comparison.scenario.model.name.starts_with(published.family) &&
                         alike(published.weights, row.weights) &&
                         alike(published.activations, row.activations) &&
                         alike(published.all_reduce, row.all_reduce) &&
                         (!gemm || (left_alone(published.weights, row.weights) &&
                                    left_alone(published.activations, row.activations)));
    if (matches) {
      found.push_back(i);
    }
  }
  return found;
}

std::string text(const Comparison& comparison) {
  const ScenarioSpec& scenario = comparison.scenario;
  std::string out =
      wrap(fmt::format("{}: {} rows{}", scenario.file, comparison.rows.size(),
                       comparison.replications >= 2
                           ? fmt::format(", {} replications each", comparison.replications)
                           : ""),
           2);
  for (const std::string& warning : warnings(comparison)) {
    out += wrap("warning: " + warning, 9);
  }
  out += "\n" + tables(comparison);
  const std::string failed = reasons(comparison);
  out += failed.empty() ? "" : "Rows without a prediction:\n" + failed + "\n";
  return out + legend(comparison) + published_text(comparison);
}

nlohmann::ordered_json json(const Comparison& comparison) {
  const ScenarioSpec& scenario = comparison.scenario;
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["version"] = FORETOKEN_VERSION;
  json["scenario"] = {{"file", scenario.file},
                      {"hash", fmt::format("{:016x}", scenario.hash)},
                      {"model", scenario.model.name}};
  json["seed"] = scenario.seed;
  json["replications"] = comparison.replications;
  json["warnings"] = warnings(comparison);
  auto& keys = json["keys"] = nlohmann::ordered_json::array();
  for (const VaryKey& key : comparison.keys) {
    keys.push_back({{"key", key.key}, {"values", key.values}});
  }
  auto& list = json["measures"] = nlohmann::ordered_json::array();
  for (const Measure& measure : measures()) {
    list.push_back({{"name", measure.name},
                    {"title", measure.title},
                    {"better", measure.better == Measure::Better::lower ? "lower" : "higher"}});
  }
  json["error_data"] = comparison.error_data;
  const auto standing = all_standings(comparison);
  auto& rows = json["rows"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < comparison.rows.size(); ++i) {
    rows.push_back(row_json(comparison, i, standing));
  }
  auto& published = json["published"] = nlohmann::ordered_json::array();
  for (const PublishedAccuracy& row : comparison.accuracy) {
    published.push_back(accuracy_json(row));
  }
  return json;
}

std::string csv(const Comparison& comparison) {
  std::string out;
  for (const VaryKey& key : comparison.keys) {
    out += csv_cell(key.key) + ",";
  }
  for (const Measure& measure : measures()) {
    out += fmt::format("{0},{0}_low,{0}_high,{0}_standing,", measure.name);
  }
  out += "reason\n";
  const auto standing = all_standings(comparison);
  for (std::size_t i = 0; i < comparison.rows.size(); ++i) {
    const SweepRow& row = comparison.rows[i];
    for (const std::string& value : row.values) {
      out += csv_cell(value) + ",";
    }
    for (std::size_t m = 0; m < measures().size(); ++m) {
      const Measure& measure = measures()[m];
      if (standing[m][i] == Standing::none) {
        out += ",,,,";
        continue;
      }
      const auto interval = interval_of(row, measure);
      out += fmt::format("{},{},{},{},", *measure.value(row),
                         interval ? fmt::format("{}", interval->low) : "",
                         interval ? fmt::format("{}", interval->high) : "", name(standing[m][i]));
    }
    out += csv_cell(row.reason) + "\n";
  }
  return out;
}

}  // namespace foretoken::reports
