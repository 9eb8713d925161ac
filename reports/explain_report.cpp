#include "reports/explain_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "reports/run_report.h"

namespace foretoken::reports {
namespace {

StepTerms make_terms(const Simulation& simulation, std::string title, BatchShape batch) {
  StepTerms step;
  step.title = std::move(title);
  const auto& placement = simulation.placements().front();
  std::map<std::pair<OpFamily, std::string>, Term> terms;
  for (std::size_t stage = 0; stage < placement.stages.size(); ++stage) {
    StepTimer timer(simulation.step_context(), placement.stages[stage], static_cast<int>(stage),
                    CostDraw(), false);
    for (const StepTimer::Line& line : timer.lines(batch)) {
      const auto [it, fresh] = terms.try_emplace(
          {line.family, line.name},
          Term{line.name, line.family, kTimeZero, line.provenance, line.extrapolated});
      Term& term = it->second;
      term.time += line.once * line.times;
      term.provenance = weakest(term.provenance, line.provenance);
      term.extrapolated = term.extrapolated || line.extrapolated;
    }
  }
  const Estimate host = simulation.cost().host(!batch.prefill.empty(), batch.rows,
                                               simulation.scenario().parallel.tensor);
  for (const auto& [key, term] : terms) {
    step.terms.push_back(term);
    step.total += term.time;
  }
  // Only what the GPUs wait for, as in a simulated step.
  const HostOverlap overlap = simulation.scenario().engine.host_overlap;
  const bool overlapped =
      overlap == HostOverlap::all || (overlap == HostOverlap::decode && batch.prefill.empty());
  const Time host_time = time_from_seconds(host.seconds);
  const Time seen = overlapped ? std::max(kTimeZero, host_time - step.total) : host_time;
  step.terms.push_back({"host", OpFamily::host, seen, host.provenance, host.extrapolated});
  step.total += seen;
  std::stable_sort(step.terms.begin(), step.terms.end(),
                   [](const Term& a, const Term& b) { return a.time > b.time; });
  step.batch = std::move(batch);
  return step;
}

// A prompt of the mean length as the engine would step through it, alone: its chunks' terms summed.
StepTerms prefill_terms(const Simulation& simulation, std::int64_t tokens) {
  const std::int64_t budget = simulation.scenario().engine.max_num_batched_tokens;
  StepTerms sum;
  for (std::int64_t done = 0; done < tokens; done += budget) {
    BatchShape batch;
    batch.prefill.push_back({std::min(budget, tokens - done), done});
    batch.rows = 1;
    StepTerms chunk = make_terms(simulation, "", batch);
    sum.total += chunk.total;
    for (Term& term : chunk.terms) {
      const auto it = std::find_if(sum.terms.begin(), sum.terms.end(), [&](const Term& t) {
        return t.name == term.name && t.family == term.family;
      });
      if (it == sum.terms.end()) {
        sum.terms.push_back(std::move(term));
      } else {
        it->time += term.time;
      }
    }
  }
  std::stable_sort(sum.terms.begin(), sum.terms.end(),
                   [](const Term& a, const Term& b) { return a.time > b.time; });
  sum.batch.prefill.push_back({tokens, 0});
  sum.batch.rows = 1;
  sum.title = fmt::format("Prefill of one average prompt alone ({} tokens)", tokens);
  return sum;
}

std::string table(const StepTerms& step) {
  std::string out = fmt::format("{}: {} ms\n", step.title, cell(to_millis(step.total)));
  out += fmt::format("  {:<24}{:<20}{:>12}{:>9}  {}\n", "operator", "family", "ms", "share",
                     "provenance");
  for (const Term& term : step.terms) {
    const double share = step.total > kTimeZero ? static_cast<double>(term.time.count()) /
                                                      static_cast<double>(step.total.count())
                                                : 0;
    out += fmt::format("  {:<24}{:<20}{:>12}{:>8.1f}%  {}{}\n", term.name,
                       kOpFamilyNames[static_cast<std::size_t>(term.family)],
                       cell(to_millis(term.time)), share * 100, name(term.provenance),
                       term.extrapolated ? ", outside the calibrated range" : "");
  }
  return out;
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
  return json;
}

}  // namespace

Explanation explain(const Simulation& simulation, const Result& point) {
  Explanation e;
  const RunRecord& record = point.record;
  double input = 0, output = 0;
  for (const RequestRecord& r : record.requests) {
    input += static_cast<double>(r.input_tokens);
    output += static_cast<double>(r.output_tokens);
  }
  const auto count = static_cast<double>(std::max<std::size_t>(record.requests.size(), 1));
  e.mean_input = input / count;
  // A request is half-way through its output on average.
  e.mean_context = (input + output / 2) / count;
  e.mean_decode = record.steps > 0 ? static_cast<double>(record.decode_tokens) /
                                         static_cast<double>(record.steps)
                                   : 0;
  e.front_end = time_from_seconds(simulation.cost().host_request().seconds);
  e.mean_ttft_ms = point.point.ttft.mean;
  e.mean_tpot_ms = point.point.tpot.mean;
  e.prefill = prefill_terms(simulation, std::max<std::int64_t>(1, std::llround(e.mean_input)));
  BatchShape batch;
  batch.decode_sequences = std::max<std::int64_t>(1, std::llround(e.mean_decode));
  const auto context = std::max<std::int64_t>(1, std::llround(e.mean_context));
  const std::int64_t window = simulation.scenario().model.sliding_window;
  batch.decode_kv_tokens = batch.decode_sequences * context;
  batch.decode_kv_tokens_windowed =
      batch.decode_sequences * (window > 0 ? std::min(window, context) : context);
  batch.rows = batch.decode_sequences;
  e.decode = make_terms(simulation,
                        fmt::format("Average decode step ({} sequences, {} tokens of context each)",
                                    batch.decode_sequences, context),
                        batch);
  return e;
}

std::string text(const Simulation& simulation, const Explanation& e) {
  std::string out = fmt::format("{} on {}, profile {}\n", simulation.scenario().model.name,
                                simulation.topology().spec().name, simulation.profile().name);
  out += wrap("Memory per GPU: " + simulation.memory().arithmetic(), 2) + "\n";
  out += table(e.prefill) + "\n" + table(e.decode) + "\n";
  const double alone = to_millis(e.front_end + e.prefill.total);
  out += fmt::format(
      "Mean TTFT of the run {} ms = front end {} + own prefill {} + waiting and sharing {}\n",
      cell(e.mean_ttft_ms), cell(to_millis(e.front_end)), cell(to_millis(e.prefill.total)),
      cell(std::max(0.0, e.mean_ttft_ms - alone)));
  const double step = to_millis(e.decode.total);
  out += fmt::format(
      "Mean TPOT of the run {} ms = average decode step {} + steps shared with prompts {}\n",
      cell(e.mean_tpot_ms), cell(step), cell(std::max(0.0, e.mean_tpot_ms - step)));
  return out;
}

nlohmann::ordered_json json(const Simulation& simulation, const Explanation& e) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["version"] = FORETOKEN_VERSION;
  json["scenario"] = {{"file", simulation.scenario().file},
                      {"hash", fmt::format("{:016x}", simulation.scenario().hash)}};
  json["seed"] = simulation.scenario().seed;
  json["mean_ttft_ms"] = e.mean_ttft_ms;
  json["mean_tpot_ms"] = e.mean_tpot_ms;
  json["front_end_ms"] = to_millis(e.front_end);
  json["prefill"] = terms_json(e.prefill);
  json["decode"] = terms_json(e.decode);
  return json;
}

}  // namespace foretoken::reports
