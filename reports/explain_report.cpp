#include "reports/explain_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <variant>

#include "sim/cost/work.h"

namespace foretoken::reports {
namespace {

// Causes in the order in which a waterfall shows them.
enum class Cause : std::uint8_t {
  host,
  gemm,
  attention,
  elementwise,
  codec,
  latency,
  wire,
  contention,
  measured_collective,
  overlap,
  bubbles
};
using Causes = std::map<std::pair<Cause, std::string>, Time>;

void add(Causes& causes, Cause cause, const std::string& name, Time time) {
  causes[{cause, name}] += time;
}

std::vector<Part> parts_of(const Causes& causes) {
  std::vector<Part> parts;
  for (const auto& [key, time] : causes) {
    if (time != kTimeZero) {
      parts.push_back({key.second, time});
    }
  }
  return parts;
}

void add_collective(Causes& causes, const StepTimer::Line& line) {
  if (!line.anatomy) {
    add(causes, Cause::measured_collective, "collectives as measured", line.once * line.times);
    return;
  }
  const CollectiveTime& time = line.anatomy->time;
  add(causes, Cause::codec, "codec", time.codec * line.times);
  add(causes, Cause::latency, "wire: latency", time.latency * line.times);
  add(causes, Cause::wire, "wire: bytes", (time.wire - line.anatomy->contention) * line.times);
  add(causes, Cause::contention, "wire: contention", line.anatomy->contention * line.times);
}

void add_line(Causes& causes, const StepTimer::Line& line) {
  const Time time = line.once * line.times;
  switch (line.family) {
    case OpFamily::gemm: {
      const auto& op = std::get<GemmOp>(line.op.what);
      add(causes, Cause::gemm, "GEMM " + gemm_format_name(op.weights, op.activations), time);
      break;
    }
    case OpFamily::attention_prefill:
    case OpFamily::attention_decode:
      add(causes, Cause::attention, "attention", time);
      break;
    case OpFamily::elementwise:
      add(causes, Cause::elementwise, "elementwise", time);
      break;
    case OpFamily::collective:
    case OpFamily::send_recv:
      add_collective(causes, line);
      break;
    case OpFamily::host:
      add(causes, Cause::host, "host: steps", time);
      break;
  }
}

GemmPosition position_of(const CostModel& cost, const StepTimer::Line& line) {
  GemmPosition gemm;
  gemm.name = line.name;
  gemm.op = std::get<GemmOp>(line.op.what);
  gemm.format = gemm_format_name(gemm.op.weights, gemm.op.activations);
  gemm.once = line.once;
  gemm.times = line.times;
  const GemmRoofline& roofline = cost.gemm_roofline(gemm.op);
  const double flops = gemm_flops(gemm.op), bytes = gemm_bytes(gemm.op);
  const double seconds = to_seconds(line.once);
  gemm.rate = flops / seconds;
  gemm.intensity = flops / bytes;
  gemm.ridge = roofline.peak / roofline.bandwidth;
  gemm.roof_share = std::max(flops / roofline.peak, bytes / roofline.bandwidth) / seconds;
  return gemm;
}

std::string link_name(const Topology& topology, LinkId id) {
  if (id < 0) {
    return "";
  }
  const LinkSpec& link = topology.link(id);
  return fmt::format("{} -> {} ({})", topology.vertex(link.from).id, topology.vertex(link.to).id,
                     name(link.link_class));
}

// Stages and layers with the same shape are one entry.
void add_position(StepTerms& step, const Simulation& simulation, const StepTimer::Line& line) {
  if (line.family == OpFamily::gemm) {
    const auto& op = std::get<GemmOp>(line.op.what);
    const auto same =
        std::find_if(step.gemms.begin(), step.gemms.end(), [&](const GemmPosition& g) {
          return g.name == line.name && g.once == line.once && g.op.m == op.m && g.op.n == op.n;
        });
    if (same != step.gemms.end()) {
      same->times += line.times;
    } else {
      step.gemms.push_back(position_of(simulation.cost(), line));
    }
  }
  if (line.anatomy) {
    const auto& op = std::get<CollectiveOp>(line.op.what);
    const auto same = std::find_if(step.collectives.begin(), step.collectives.end(),
                                   [&](const CollectivePosition& c) {
                                     return c.name == line.name && c.op.values == op.values &&
                                            c.anatomy.time.total == line.anatomy->time.total;
                                   });
    if (same != step.collectives.end()) {
      same->times += line.times;
    } else {
      step.collectives.push_back({line.name, op, line.times, *line.anatomy,
                                  link_name(simulation.topology(), line.anatomy->critical_link)});
    }
  }
}

void add_term(std::vector<Term>& terms, const Term& term) {
  const auto it = std::find_if(terms.begin(), terms.end(), [&](const Term& t) {
    return t.name == term.name && t.family == term.family;
  });
  if (it == terms.end()) {
    terms.push_back(term);
    return;
  }
  it->time += term.time;
  it->provenance = weakest(it->provenance, term.provenance);
  it->extrapolated = it->extrapolated || term.extrapolated;
}

void sort_terms(StepTerms& step) {
  std::stable_sort(step.terms.begin(), step.terms.end(),
                   [](const Term& a, const Term& b) { return a.time > b.time; });
}

StepTerms make_terms(const Simulation& simulation, std::string title, BatchShape batch,
                     Causes& causes) {
  StepTerms step;
  step.title = std::move(title);
  const auto& placement = simulation.placements().front();
  Time slowest = kTimeZero;
  Time work = kTimeZero;
  for (std::size_t stage = 0; stage < placement.stages.size(); ++stage) {
    StepTimer timer(simulation.step_context(), placement.stages[stage], static_cast<int>(stage),
                    CostDraw(), false);
    Time lines = kTimeZero;
    for (const StepTimer::Line& line : timer.lines(batch)) {
      const Time time = line.once * line.times;
      add_term(step.terms, {line.name, line.family, time, line.provenance, line.extrapolated});
      add_line(causes, line);
      add_position(step, simulation, line);
      lines += time;
    }
    // Collectives may run beside the next computation (engine.overlap_collectives).
    const StepTime whole = timer.time(batch);
    if (whole.share.total != lines) {
      const Time hidden = whole.share.total - lines;
      add_term(step.terms, {"overlap", OpFamily::collective, hidden, Provenance::assumed, false});
      add(causes, Cause::overlap, "hidden behind computation", hidden);
    }
    work += whole.share.total;
    slowest = std::max(slowest, whole.share.total);
  }
  const Estimate host = simulation.cost().host(!batch.prefill.empty(), batch.rows,
                                               simulation.scenario().parallel.tensor);
  // Only what the GPUs wait for, as in a simulated step.
  const HostOverlap overlap = simulation.scenario().engine.host_overlap;
  const bool overlapped =
      overlap == HostOverlap::all || (overlap == HostOverlap::decode && batch.prefill.empty());
  const Time host_time = time_from_seconds(host.seconds);
  const Time seen = overlapped ? std::max(kTimeZero, host_time - work) : host_time;
  step.terms.push_back({"host", OpFamily::host, seen, host.provenance, host.extrapolated});
  add(causes, Cause::host, "host: steps", seen);
  step.total = work + seen;
  // With a step in every stage each waits for the slowest.
  const auto stages = static_cast<std::int64_t>(placement.stages.size());
  if (stages > 1 && batch.prefill.empty()) {
    add(causes, Cause::bubbles, "pipeline bubbles", slowest * stages - work);
  }
  sort_terms(step);
  step.batch = std::move(batch);
  return step;
}

// A prompt of the mean length as the engine would step through it, alone: its chunks' terms summed.
StepTerms prefill_terms(const Simulation& simulation, std::int64_t tokens) {
  const std::int64_t budget = simulation.scenario().engine.max_num_batched_tokens;
  StepTerms sum;
  Causes causes;
  for (std::int64_t done = 0; done < tokens; done += budget) {
    BatchShape batch;
    batch.prefill.push_back({std::min(budget, tokens - done), done});
    batch.rows = 1;
    StepTerms chunk = make_terms(simulation, "", batch, causes);
    sum.total += chunk.total;
    for (const Term& term : chunk.terms) {
      add_term(sum.terms, term);
    }
    if (done == 0) {  // later chunks have the same shapes, but for the last
      sum.gemms = std::move(chunk.gemms);
      sum.collectives = std::move(chunk.collectives);
    }
  }
  sort_terms(sum);
  sum.parts = parts_of(causes);
  sum.batch.prefill.push_back({tokens, 0});
  sum.batch.rows = 1;
  sum.title = fmt::format("Prefill of one average prompt alone ({} tokens)", tokens);
  return sum;
}

StepTerms decode_terms(const Simulation& simulation, std::int64_t sequences, std::int64_t context) {
  BatchShape batch;
  batch.decode_sequences = sequences;
  const std::int64_t window = simulation.scenario().model.sliding_window;
  batch.decode_kv_tokens = sequences * context;
  batch.decode_kv_tokens_windowed = sequences * (window > 0 ? std::min(window, context) : context);
  batch.rows = sequences;
  Causes causes;
  StepTerms step =
      make_terms(simulation,
                 fmt::format("Average decode step ({} sequences, {} tokens of context each)",
                             sequences, context),
                 batch, causes);
  step.parts = parts_of(causes);
  return step;
}

// From the end of the front end to the first step, of the requests that count.
Time mean_queue(const Simulation& simulation, const RunRecord& record, Time front_end) {
  const auto first = static_cast<std::size_t>(std::floor(
      static_cast<double>(record.requests.size()) * simulation.scenario().workload.warmup));
  double seconds = 0;
  std::int64_t count = 0;
  for (std::size_t i = first; i < record.requests.size(); ++i) {
    const RequestRecord& request = record.requests[i];
    if (!request.failed() && request.started != kTimeNever) {
      seconds += to_seconds(request.started - request.arrival - front_end);
      ++count;
    }
  }
  return time_from_seconds(std::max(0.0, count > 0 ? seconds / static_cast<double>(count) : 0));
}

void close(std::vector<Part>& parts, const char* rest, double mean_ms) {
  Time sum = kTimeZero;
  for (const Part& part : parts) {
    sum += part.time;
  }
  parts.push_back({rest, Time(std::llround(mean_ms * 1e9)) - sum});
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
  e.mean_ttft_ms = point.point.ttft.mean;
  e.mean_tpot_ms = point.point.tpot.mean;
  e.prefill = prefill_terms(simulation, std::max<std::int64_t>(1, std::llround(e.mean_input)));
  e.decode = decode_terms(simulation, std::max<std::int64_t>(1, std::llround(e.mean_decode)),
                          std::max<std::int64_t>(1, std::llround(e.mean_context)));
  const Time front_end = time_from_seconds(simulation.cost().host_request().seconds);
  e.ttft.push_back({"queue", mean_queue(simulation, record, front_end)});
  if (front_end > kTimeZero) {
    e.ttft.push_back({"host: front end", front_end});
  }
  e.ttft.insert(e.ttft.end(), e.prefill.parts.begin(), e.prefill.parts.end());
  close(e.ttft, "others' work in its steps", e.mean_ttft_ms);
  e.tpot = e.decode.parts;
  close(e.tpot, "steps shared with prompts", e.mean_tpot_ms);
  return e;
}

}  // namespace foretoken::reports
