#include "reports/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace foretoken::reports {
namespace {

TimeShare all_steps(const RunRecord& record) {
  TimeShare all = record.prefill_steps;
  all.add(record.decode_steps);
  return all;
}

double share(Time part, Time whole) {
  return whole > kTimeZero ? static_cast<double>(part.count()) / static_cast<double>(whole.count())
                           : 0;
}

std::string layout(const Simulation& simulation) {
  const ScenarioSpec& s = simulation.scenario();
  return fmt::format(
      "{} on {} (tensor {} x pipeline {} x data {}), costs from profile {}, engine {}",
      s.model.name, simulation.topology().spec().name, s.parallel.tensor, s.parallel.pipeline,
      s.parallel.data, simulation.profile().name, s.engine.preset);
}

class Table {
 public:
  Table(const Result& result) : result_(result) {
    out_ = fmt::format("{:<30}{:>14}", "", "estimate");
    if (!result.intervals.empty()) {
      out_ += fmt::format("   {:.0f} % interval", result.level * 100);
    }
    out_ += "\n";
  }
  void row(const std::string& label, const std::string& metric, double value,
           const std::string& unit) {
    out_ += fmt::format("{:<30}{:>14}", label, cell(value));
    const auto it = result_.intervals.find(metric);
    if (it != result_.intervals.end()) {
      out_ += fmt::format("   {:>10} .. {:<10}", cell(it->second.low), cell(it->second.high));
    }
    out_ += " " + unit + "\n";
  }
  const std::string& text() const { return out_; }

 private:
  const Result& result_;
  std::string out_;
};

void latency_rows(Table& table, const char* label, const char* name, const Distribution& d) {
  if (d.count == 0) {
    return;
  }
  table.row(fmt::format("{:<8} mean", label), fmt::format("mean_{}_ms", name), d.mean, "ms");
  table.row("         median", fmt::format("median_{}_ms", name), d.median, "ms");
  table.row("         p99", fmt::format("p99_{}_ms", name), d.p99, "ms");
}

std::string family_text(const TimeShare& steps) {
  std::vector<std::pair<double, std::string_view>> parts;
  for (std::size_t i = 0; i < kOpFamilyCount; ++i) {
    const double part = share(steps.by_family[i], steps.total);
    if (part >= 0.0005) {
      parts.emplace_back(part, kOpFamilyNames[i]);
    }
  }
  std::sort(parts.rbegin(), parts.rend());
  std::string text;
  for (const auto& [part, name] : parts) {
    text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", name, part * 100);
  }
  return text;
}

void put_distribution(nlohmann::ordered_json& json, const char* name, const Distribution& d) {
  const auto put = [&](const char* statistic, double value) {
    json[fmt::format("{}_{}_ms", statistic, name)] = value;
  };
  put("mean", d.mean);
  put("median", d.median);
  put("std", d.std_dev);
  put("p90", d.p90);
  put("p95", d.p95);
  put("p99", d.p99);
}

nlohmann::ordered_json memory_json(const MemoryPlan& memory) {
  return {
      {"device_bytes", memory.device.count},   {"utilization", memory.utilization},
      {"weight_bytes", memory.weights.count},  {"activation_bytes", memory.activations.count},
      {"context_bytes", memory.context.count}, {"communication_bytes", memory.communication.count},
      {"kv_bytes", memory.kv_available.count}, {"kv_blocks", memory.blocks}};
}

}  // namespace

std::string wrap(const std::string& text, std::size_t indent) {
  constexpr std::size_t kWidth = 100;
  std::istringstream words(text);
  std::string out, line, word;
  while (words >> word) {
    if (!line.empty() && line.size() + 1 + word.size() > kWidth) {
      out += line + "\n";
      line = std::string(indent, ' ') + word;
    } else {
      line += (line.empty() ? "" : " ") + word;
    }
  }
  return out + line + "\n";
}

std::string cell(double value) {
  const double magnitude = std::abs(value);
  if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e9)) {
    return fmt::format("{:.3e}", value);
  }
  const int digits =
      magnitude == 0 ? 0 : std::max(0, 3 - static_cast<int>(std::floor(std::log10(magnitude))));
  return fmt::format("{:.{}f}", value, std::min(digits, 6));
}

std::array<double, kProvenanceCount> provenance_shares(const RunRecord& record) {
  const TimeShare steps = all_steps(record);
  std::array<double, kProvenanceCount> shares{};
  for (std::size_t i = 0; i < kProvenanceCount; ++i) {
    shares[i] = share(steps.by_provenance[i], steps.total);
  }
  return shares;
}

std::array<double, kOpFamilyCount> family_shares(const RunRecord& record) {
  const TimeShare steps = all_steps(record);
  std::array<double, kOpFamilyCount> shares{};
  for (std::size_t i = 0; i < kOpFamilyCount; ++i) {
    shares[i] = share(steps.by_family[i], steps.total);
  }
  return shares;
}

std::string share_text(const std::array<double, kProvenanceCount>& shares) {
  std::string text;
  for (std::size_t i = 0; i < kProvenanceCount; ++i) {
    if (shares[i] > 0) {
      text += fmt::format("{}{:.1f} % {}", text.empty() ? "" : ", ", shares[i] * 100,
                          kProvenanceNames[i]);
    }
  }
  return text.empty() ? "no step was run" : text;
}

std::vector<std::string> warnings(const Simulation& simulation, const Result& result) {
  std::vector<std::string> lines;
  const Summary& s = result.point;
  if (s.overload) {
    lines.push_back(
        fmt::format("overloaded: offered {:.1f}/s, served {:.1f}/s: percentiles grow with "
                    "run length",
                    s.overload->offered, s.overload->served));
  }
  if (s.failed > 0) {
    lines.push_back(
        fmt::format("{} of {} requests were refused: longer than the model's {} positions "
                    "or than the KV cache ({} blocks of {} tokens)",
                    s.failed, s.failed + s.completed,
                    simulation.scenario().engine.max_model_len.value_or(
                        simulation.scenario().model.max_positions),
                    simulation.memory().blocks, simulation.scenario().engine.block_size));
  }
  const double assumed =
      provenance_shares(result.record)[static_cast<std::size_t>(Provenance::assumed)];
  if (assumed > 0) {
    lines.push_back(
        fmt::format("{:.1f} % of the step time rests on assumed numbers, not on "
                    "measurements; `foretoken explain` shows which",
                    assumed * 100));
  }
  if (simulation.replicas_share_links()) {
    lines.emplace_back(
        "replicas share links: every collective was simulated beside the others', which is slow; "
        "placement.groups may keep them apart");
  }
  if (result.record.extrapolated) {
    lines.emplace_back(
        "some operators lie outside the range the profile was calibrated on; `foretoken explain` "
        "shows which");
  }
  return lines;
}

std::string text(const Simulation& simulation, const Result& result,
                 const std::vector<std::string>& warning_lines) {
  const Summary& s = result.point;
  const RunRecord& r = result.record;
  std::string out = wrap(layout(simulation), 2);
  for (const std::string& line : warning_lines) {
    out += wrap("warning: " + line, 9);
  }
  out +=
      wrap(fmt::format("{} requests completed in {:.1f} s of simulated time: {} tokens in, {} out",
                       s.completed, s.duration_s, s.total_input_tokens, s.total_output_tokens),
           2);
  out += "\n";
  Table table(result);
  table.row("Request throughput", "request_throughput", s.request_throughput, "requests/s");
  table.row("Output throughput", "output_throughput", s.output_throughput, "tokens/s");
  table.row("Total throughput", "total_token_throughput", s.total_token_throughput, "tokens/s");
  if (s.request_goodput) {
    table.row("Goodput", "request_goodput", *s.request_goodput, "requests/s in targets");
  }
  latency_rows(table, "TTFT", "ttft", s.ttft);
  latency_rows(table, "TPOT", "tpot", s.tpot);
  latency_rows(table, "ITL", "itl", s.itl);
  latency_rows(table, "E2E", "e2el", s.e2el);
  out += table.text() + "\n";
  const TimeShare steps = all_steps(r);
  out += wrap("Provenance of step time: " + share_text(provenance_shares(r)), 2);
  out += wrap("Step time by operator:   " + family_text(steps), 2);
  out += wrap(fmt::format("KV cache per replica:    {} blocks of {} tokens, peak use {:.1f} %, {} "
                          "preemptions",
                          r.kv_blocks, simulation.scenario().engine.block_size,
                          r.kv_blocks > 0 ? 100.0 * static_cast<double>(r.peak_kv_blocks) /
                                                static_cast<double>(r.kv_blocks)
                                          : 0.0,
                          r.preemptions),
              2);
  out += wrap(
      fmt::format("Steps:                   {} ({} with prompt tokens), at most {} requests at "
                  "once in a replica",
                  r.steps, r.prefill_step_count, r.peak_running),
      2);
  if (simulation.scenario().gpu_hour > 0 && s.output_throughput > 0) {
    const double per_million = simulation.scenario().gpu_hour *
                               simulation.scenario().parallel.gpus() / 3600 / s.output_throughput *
                               1e6;
    out += wrap(
        fmt::format("Cost:                    {} per million output tokens", cell(per_million)), 2);
  }
  return out;
}

nlohmann::ordered_json json(const Simulation& simulation, const Result& result,
                            const std::vector<std::string>& warning_lines) {
  const Summary& s = result.point;
  const RunRecord& r = result.record;
  const ScenarioSpec& scenario = simulation.scenario();
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["version"] = FORETOKEN_VERSION;
  json["scenario"] = {{"file", scenario.file},
                      {"hash", fmt::format("{:016x}", scenario.hash)},
                      {"model", scenario.model.name},
                      {"cluster", simulation.topology().spec().name},
                      {"profile", simulation.profile().name},
                      {"tensor", scenario.parallel.tensor},
                      {"pipeline", scenario.parallel.pipeline},
                      {"data", scenario.parallel.data},
                      {"engine", scenario.engine.preset}};
  json["seed"] = scenario.seed;
  json["warnings"] = warning_lines;
  json["completed"] = s.completed;
  json["failed"] = s.failed;
  json["duration"] = s.duration_s;
  json["total_input_tokens"] = s.total_input_tokens;
  json["total_output_tokens"] = s.total_output_tokens;
  json["request_throughput"] = s.request_throughput;
  json["request_goodput"] =
      s.request_goodput ? nlohmann::ordered_json(*s.request_goodput) : nlohmann::ordered_json();
  json["output_throughput"] = s.output_throughput;
  json["total_token_throughput"] = s.total_token_throughput;
  put_distribution(json, "ttft", s.ttft);
  put_distribution(json, "tpot", s.tpot);
  put_distribution(json, "itl", s.itl);
  put_distribution(json, "e2el", s.e2el);
  json["overload"] = s.overload ? nlohmann::ordered_json{{"offered", s.overload->offered},
                                                         {"served", s.overload->served}}
                                : nlohmann::ordered_json();
  json["replications"] = result.replications;
  auto& intervals = json["intervals"] = nlohmann::ordered_json::object();
  for (const auto& [name, value] : s.metrics()) {
    if (const auto it = result.intervals.find(name); it != result.intervals.end()) {
      intervals[name] = {
          {"low", it->second.low}, {"high", it->second.high}, {"level", result.level}};
    }
  }
  auto& provenance = json["provenance"] = nlohmann::ordered_json::object();
  const auto shares = provenance_shares(r);
  for (std::size_t i = 0; i < kProvenanceCount; ++i) {
    provenance[std::string(kProvenanceNames[i])] = shares[i];
  }
  auto& families = json["time_by_family"] = nlohmann::ordered_json::object();
  const auto by_family = family_shares(r);
  for (std::size_t i = 0; i < kOpFamilyCount; ++i) {
    families[std::string(kOpFamilyNames[i])] = by_family[i];
  }
  json["steps"] = r.steps;
  json["prefill_steps"] = r.prefill_step_count;
  json["preemptions"] = r.preemptions;
  json["peak_kv_blocks"] = r.peak_kv_blocks;
  json["peak_running"] = r.peak_running;
  json["extrapolated"] = r.extrapolated;
  json["memory"] = memory_json(simulation.memory());
  return json;
}

std::string csv(const RunRecord& record) {
  std::string out =
      "request,arrival_s,input_tokens,output_tokens,replica,ttft_ms,tpot_ms,e2el_ms\n";
  for (std::size_t i = 0; i < record.requests.size(); ++i) {
    const RequestRecord& r = record.requests[i];
    out += fmt::format("{},{:.6f},{},{},{},", i, to_seconds(r.arrival), r.input_tokens,
                       r.output_tokens, r.replica);
    if (r.failed()) {
      out += ",,\n";
      continue;
    }
    const Time decode = r.finish - r.first_token;
    const std::string tpot =
        r.output_tokens > 1
            ? fmt::format("{:.6f}", to_millis(decode) / static_cast<double>(r.output_tokens - 1))
            : "";
    out += fmt::format("{:.6f},{},{:.6f}\n", to_millis(r.first_token - r.arrival), tpot,
                       to_millis(r.finish - r.arrival));
  }
  return out;
}

}  // namespace foretoken::reports
