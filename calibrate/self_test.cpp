#include "calibrate/self_test.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>

#include "calibrate/fit/held_out.h"
#include "calibrate/fit/search.h"

namespace foretoken::calibrate {
namespace {

constexpr int kFewest = 5;
constexpr double kPlot = 260;   // px
constexpr double kMargin = 36;  // px
constexpr double kQuantile = 1.6448536269514722;

std::string html(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    safe += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return safe;
}

std::string time_text(double seconds) {
  return seconds < 1e-6   ? fmt::format("{:.3g} ns", seconds * 1e9)
         : seconds < 1e-3 ? fmt::format("{:.3g} us", seconds * 1e6)
         : seconds < 1    ? fmt::format("{:.3g} ms", seconds * 1e3)
                          : fmt::format("{:.3g} s", seconds);
}

// Both axes logarithmic and alike, so that the diagonal is a perfect prediction.
class LogLogPlot {
 public:
  explicit LogLogPlot(const std::vector<Trial>& trials) {
    double low = INFINITY, high = 0;
    for (const Trial& trial : trials) {
      low = std::min({low, trial.measured, trial.predicted});
      high = std::max({high, trial.measured, trial.predicted});
    }
    low_ = static_cast<int>(std::floor(std::log10(low)));
    high_ = std::max(static_cast<int>(std::ceil(std::log10(high))), low_ + 1);
  }

  std::string svg(const std::string& title, const std::vector<Trial>& trials) const {
    std::string text = fmt::format(
        "<svg width=\"{0}\" height=\"{0}\" role=\"img\"><title>{1}</title>\n", kPlot, html(title));
    for (int decade = low_; decade <= high_; ++decade) {
      const double at = std::pow(10.0, decade);
      text += fmt::format(
          "<path class=\"grid\" d=\"M{0:.1f} {1:.1f}V{2:.1f}M{3:.1f} {4:.1f}H{5:.1f}\"/>"
          "<text x=\"{0:.1f}\" y=\"{6:.1f}\" text-anchor=\"middle\">{7}</text>"
          "<text x=\"{8:.1f}\" y=\"{4:.1f}\" text-anchor=\"end\">{7}</text>\n",
          x(at), kPlot - kMargin, kMargin / 2, kMargin, y(at), kPlot - kMargin / 2,
          kPlot - kMargin + 12, time_text(at), kMargin - 3);
    }
    text += fmt::format("<path class=\"diagonal\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>\n",
                        x(std::pow(10.0, low_)), y(std::pow(10.0, low_)), x(std::pow(10.0, high_)),
                        y(std::pow(10.0, high_)));
    for (const Trial& trial : trials) {
      const double factor = std::exp(kQuantile * trial.sd);
      const bool inside = std::abs(log_error(trial)) <= kQuantile * trial.sd;
      text += fmt::format(
          "<path class=\"bar\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>"
          "<circle cx=\"{0:.1f}\" cy=\"{3:.1f}\" r=\"2.2\"{4}><title>{5}: measured {6}, predicted "
          "{7} ({8:+.1f} %)</title></circle>\n",
          x(trial.measured), y(trial.predicted / factor), y(trial.predicted * factor),
          y(trial.predicted), inside ? "" : " class=\"out\"", fmt::join(trial.shape, "x"),
          time_text(trial.measured), time_text(trial.predicted),
          100 * std::expm1(log_error(trial)));
    }
    return text + "</svg>\n";
  }

 private:
  double share(double seconds) const { return (std::log10(seconds) - low_) / (high_ - low_); }
  double x(double seconds) const { return kMargin + share(seconds) * (kPlot - 1.5 * kMargin); }
  double y(double seconds) const {
    return kPlot - kMargin - share(seconds) * (kPlot - 1.5 * kMargin);
  }
  int low_, high_;  // decades
};

constexpr std::string_view kStyle = R"(
body{font:14px sans-serif;margin:2em;color:#222;max-width:76em}
table{border-collapse:collapse;font-size:13px}td,th{padding:2px 10px;text-align:right}
td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}
figure{display:inline-block;margin:8px}figcaption{font-size:12px;text-align:center}
svg text{font-size:8px;fill:#666}.grid{stroke:#e4e4e4;fill:none}.diagonal{stroke:#999;fill:none}
.bar{stroke:#9bc;stroke-width:1;fill:none}circle{fill:#246}.out{fill:#c33}
.poor{color:#c33}.good{color:#262}
)";

nlohmann::json entry(const CaseResult& one, const std::string& type) {
  const std::string name = case_name(one.family, one.shape) + "/manual_time";
  return {{"name", name}, {"run_name", name}, {"run_type", type}, {"repetitions", one.passes},
          {"threads", 1}, {"time_unit", "ns"}};
}

void add_case(const CaseResult& one, int index, nlohmann::json& list) {
  for (std::size_t pass = 0; pass < one.pass_seconds.size(); ++pass) {
    nlohmann::json row = entry(one, "iteration");
    row["family_index"] = index;
    row["per_family_instance_index"] = 0;
    row["repetition_index"] = pass;
    row["iterations"] = 1;
    row["real_time"] = row["cpu_time"] = one.pass_seconds[pass] * 1e9;
    list.push_back(std::move(row));
  }
  const double average = mean(one.pass_seconds);
  double squares = 0;
  for (const double seconds : one.pass_seconds) {
    squares += (seconds - average) * (seconds - average);
  }
  const std::size_t count = one.pass_seconds.size();
  const double sd = count > 1 ? std::sqrt(squares / static_cast<double>(count - 1)) : 0;
  for (const auto& [name, seconds] :
       {std::pair("mean", average), std::pair("median", one.seconds), std::pair("stddev", sd)}) {
    nlohmann::json row = entry(one, "aggregate");
    row["name"] = row["name"].get<std::string>() + "_" + name;
    row["family_index"] = index;
    row["per_family_instance_index"] = 0;
    row["aggregate_name"] = name;
    row["aggregate_unit"] = "time";
    row["iterations"] = count;
    row["real_time"] = row["cpu_time"] = seconds * 1e9;
    list.push_back(std::move(row));
  }
}

}  // namespace

std::string verdict(const HeldOut& held_out) {
  if (held_out.samples < kFewest) {
    return "few";
  }
  if (held_out.mean <= 0.1) {
    return held_out.coverage >= 0.8 ? "good" : "fair";
  }
  return held_out.mean <= 0.2 ? "fair" : "poor";
}

std::string describe(const std::vector<FamilyReport>& families) {
  std::string text =
      fmt::format("{:<32}{:>8}{:>10}{:>10}{:>10}{:>10}{:>12}  {}\n", "family", "samples",
                  "held out", "mean", "p90", "in 90 %", "half-width", "verdict");
  for (const FamilyReport& row : families) {
    text += fmt::format("{:<32}{:>8}{:>10}{:>8.1f} %{:>8.1f} %{:>8.0f} %{:>10.1f} %  {}\n",
                        row.family, row.samples, row.held_out.samples, 100 * row.held_out.mean,
                        100 * row.held_out.p90, 100 * row.held_out.coverage,
                        100 * row.held_out.half_width, verdict(row.held_out));
  }
  text += fmt::format(
      "Held-out samples were kept from the fit and then predicted: mean and 90th percentile of the "
      "error,\nshare inside the 90 % interval, half-width of that. good: mean at most 10 % and 80 "
      "% "
      "inside; fair: mean\nat most 20 %; few: fewer than {} held out.\n",
      kFewest);
  return text;
}

std::string self_test_page(const Profile& profile, const std::vector<FamilyReport>& families) {
  std::string text = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Calibration of "
      "{0}</title><style>{1}</style></head><body>\n<h1>Calibration of {0}</h1>\n<p>{2}, {3}</p>\n"
      "<p>Every point is a sample that the fit had not seen when it was predicted. Bars are the "
      "prediction's 90 % interval; red points lie outside it.</p>\n<table><tr><th>family</th>"
      "<th>samples</th><th>held out</th><th>mean</th><th>p90</th><th>in 90 %</th>"
      "<th>half-width</th><th>verdict</th></tr>\n",
      html(profile.device), kStyle, html(profile.fingerprint), html(profile.date));
  for (const FamilyReport& row : families) {
    const std::string judged = verdict(row.held_out);
    text += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.0f} %</td>"
        "<td>{:.1f} %</td><td class=\"{}\">{}</td></tr>\n",
        html(row.family), row.samples, row.held_out.samples, 100 * row.held_out.mean,
        100 * row.held_out.p90, 100 * row.held_out.coverage, 100 * row.held_out.half_width, judged,
        judged);
  }
  text += "</table>\n<h2>Predicted (up) against measured (across)</h2>\n";
  for (const FamilyReport& row : families) {
    if (!row.trials.empty()) {
      text += fmt::format("<figure>{}<figcaption>{}: {:.1f} %</figcaption></figure>\n",
                          LogLogPlot(row.trials).svg(row.family, row.trials), html(row.family),
                          100 * row.held_out.mean);
    }
  }
  return text + "</body></html>\n";
}

std::string benchmark_json(const RunResult& run,
                           const std::vector<std::pair<std::string, std::string>>& context) {
  nlohmann::json json;
  json["context"] = {{"date", fmt::format("{:%FT%T+00:00}", fmt::gmtime(std::time(nullptr)))},
                     {"executable", "foretoken calibrate"},
                     {"caches", nlohmann::json::array()},
                     {"load_avg", nlohmann::json::array()},
                     {"library_build_type", "release"}};
  for (const auto& [key, value] : context) {
    json["context"][key] = value;
  }
  json["benchmarks"] = nlohmann::json::array();
  int index = 0;
  for (const CaseResult& one : run.cases) {
    add_case(one, index++, json["benchmarks"]);
  }
  return json.dump(1) + "\n";
}

}  // namespace foretoken::calibrate
