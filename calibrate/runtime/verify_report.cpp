#include <fmt/format.h>

#include "calibrate/runtime/verify.h"
#include "reports/run_report.h"

namespace foretoken::runtime {
namespace {

std::string error_text(double error) { return fmt::format("{:+.1f} %", 100 * error); }

std::string interval_text(const Interval& interval) {
  return fmt::format("{} .. {}", reports::cell(interval.low), reports::cell(interval.high));
}

std::string ratio_text(double predicted, double measured) {
  return measured > 0 ? error_text(predicted / measured - 1) : "-";
}

std::string head(const VerifyReport& report) {
  return fmt::format("{}; ranks joined by: {}; {} of {} runs quiet", report.machine, report.wire,
                     report.quiet_repeats, report.repeats);
}

}  // namespace

std::string text(const VerifyReport& report) {
  std::string out = reports::wrap(head(report), 0) + "\n";
  out += fmt::format("{:<24}{:>12}{:>24}{:>12}{:>10}  {}\n", "metric", "predicted", "90 % interval",
                     "measured", "error", "covered");
  for (const Metric& metric : report.metrics) {
    out += fmt::format("{:<24}{:>12}{:>24}{:>12}{:>10}  {}\n", metric.name,
                       reports::cell(metric.predicted), interval_text(metric.interval),
                       reports::cell(metric.measured), error_text(metric.error()),
                       metric.covered() ? "yes" : "no");
  }
  out += fmt::format("\n{:<24}{:<20}{:>14}{:>14}{:>10}\n", "phase", "operators", "predicted ms",
                     "measured ms", "error");
  for (const FamilyRow& row : report.families) {
    out += fmt::format("{:<24}{:<20}{:>14.3f}{:>14.3f}{:>10}\n", row.phase, row.family,
                       1e3 * row.predicted, 1e3 * row.measured,
                       ratio_text(row.predicted, row.measured));
  }
  for (const std::string& note : report.notes) {
    out += reports::wrap("note: " + note, 6);
  }
  return out;
}

nlohmann::ordered_json json(const VerifyReport& report, const ScenarioSpec& scenario) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["version"] = FORETOKEN_VERSION;
  json["scenario"] = {{"file", scenario.file},
                      {"hash", fmt::format("{:016x}", scenario.hash)},
                      {"seed", scenario.seed}};
  json["machine"] = report.machine;
  json["date"] = report.date;
  json["commit"] = report.commit;
  json["wire"] = report.wire;
  json["runs"] = report.repeats;
  json["quiet_runs"] = report.quiet_repeats;
  if (report.pace) {
    json["pace"] = *report.pace;
  }
  for (const Metric& metric : report.metrics) {
    json["metrics"][metric.name] = {
        {"predicted", metric.predicted},
        {"predicted_at_first", metric.at_first},
        {"interval",
         {{"low", metric.interval.low}, {"high", metric.interval.high}, {"level", 0.9}}},
        {"measured", metric.measured},
        {"measured_interval",
         {{"low", metric.measured_interval.low}, {"high", metric.measured_interval.high}}},
        {"error", metric.error()},
        {"covered", metric.covered()}};
  }
  json["families"] = nlohmann::ordered_json::array();
  for (const FamilyRow& row : report.families) {
    json["families"].push_back({{"phase", row.phase},
                                {"family", row.family},
                                {"predicted_ms", 1e3 * row.predicted},
                                {"measured_ms", 1e3 * row.measured}});
  }
  json["notes"] = report.notes;
  return json;
}

std::string markdown(const VerifyReport& report, const ScenarioSpec& scenario) {
  std::string out = fmt::format(
      "# {} verified\n\nModel {}, tensor {}. {}.\n\n"
      "| metric | predicted | 90 % interval | measured | error | covered |\n"
      "|---|---:|---:|---:|---:|---|\n",
      scenario.file, scenario.model.name, scenario.parallel.tensor, head(report));
  for (const Metric& metric : report.metrics) {
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", metric.name,
                       reports::cell(metric.predicted), interval_text(metric.interval),
                       reports::cell(metric.measured), error_text(metric.error()),
                       metric.covered() ? "yes" : "no");
  }
  out +=
      "\n| phase | operators | predicted, ms | measured, ms | error |\n|---|---|---:|---:|---:|\n";
  for (const FamilyRow& row : report.families) {
    out += fmt::format("| {} | {} | {:.3f} | {:.3f} | {} |\n", row.phase, row.family,
                       1e3 * row.predicted, 1e3 * row.measured,
                       ratio_text(row.predicted, row.measured));
  }
  for (const std::string& note : report.notes) {
    out += "\nNote: " + note + "\n";
  }
  return out;
}

}  // namespace foretoken::runtime
