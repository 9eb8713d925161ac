// What is measured, defined once. For a request with arrival a, tokens emitted at t_1 < .. < t_n:
//   TTFT = t_1 - a                    time to first token
//   TPOT = (t_n - t_1) / (n - 1)      time per output token; requests with n = 1 are left out
//   ITL  = t_i - t_(i-1)              each gap between tokens, over all requests
//   E2E  = t_n - a                    latency of the whole request
// Names in JSON are those of `vllm bench serve`. Requests within the warm-up share are left out of
// the percentiles, not out of the throughput.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/units.h"
#include "sim/metrics/timeline.h"
#include "sim/model/operator.h"
#include "sim/spec/provenance.h"
#include "sim/spec/scenario.h"

namespace foretoken {

struct RequestRecord {
  Time arrival = kTimeZero;
  Time started = kTimeNever;  // its first step
  Time first_token = kTimeNever;
  Time finish = kTimeNever;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::int32_t replica = -1;  // -1: refused, could never be served
  bool failed() const { return replica < 0; }
};

// Time spent, split two ways; both sum to `total`.
struct TimeShare {
  Time total = kTimeZero;
  std::array<Time, kOpFamilyCount> by_family{};
  std::array<Time, kProvenanceCount> by_provenance{};
  void add(OpFamily family, Provenance provenance, Time t) {
    total += t;
    by_family[static_cast<std::size_t>(family)] += t;
    by_provenance[static_cast<std::size_t>(provenance)] += t;
  }
  void add(const TimeShare& other, std::int64_t times = 1);
};

// Everything one run of the simulation leaves behind.
struct RunRecord {
  std::vector<RequestRecord> requests;  // in order of arrival
  // Gaps between tokens, run-length coded: (gap, how many requests saw it). Warm-up left out.
  std::vector<std::pair<Time, std::int64_t>> gaps;
  // Where asked for (Recording): every step in the order in which they ended, and a stretch in
  // detail.
  std::vector<StepSample> timeline;
  RunTrace trace;
  Time end = kTimeZero;     // last token of all
  TimeShare prefill_steps;  // steps that held prompt tokens
  TimeShare decode_steps;   // the others
  std::int64_t steps = 0;
  std::int64_t prefill_step_count = 0;
  std::int64_t preemptions = 0;
  std::int64_t kv_blocks = 0;  // capacity of one replica
  std::int64_t peak_kv_blocks = 0;
  std::int64_t peak_running = 0;
  std::int64_t scheduled_tokens = 0;  // recomputation included
  std::int64_t decode_tokens = 0;
  bool stopped_early = false;  // too many requests missed a target; what follows is not there
  bool extrapolated = false;   // some operator lay outside the calibrated range
  // For the overload verdict: requests that wait for admission, half-way through the arrivals and
  // at their end.
  std::int64_t waiting_half = 0;
  std::int64_t waiting_end = 0;
  std::int64_t finished_by_last_arrival = 0;
};

struct Distribution {
  double mean = 0, median = 0, std_dev = 0, p90 = 0, p95 = 0, p99 = 0;  // milliseconds
  std::int64_t count = 0;
};

struct Overload {
  double offered = 0;  // requests per second
  double served = 0;   // requests per second while requests arrived
};

struct Summary {
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  double duration_s = 0;
  std::int64_t total_input_tokens = 0;
  std::int64_t total_output_tokens = 0;
  double request_throughput = 0;
  double output_throughput = 0;
  double total_token_throughput = 0;
  std::optional<double> request_goodput;  // requests per second that met every target
  Distribution ttft, tpot, itl, e2el;
  std::optional<Overload> overload;

  // Every metric that carries an interval, by its JSON name, in a fixed order.
  std::vector<std::pair<std::string, double>> metrics() const;
};

// Linear interpolation between order statistics, as numpy.percentile does. REQUIRES: sorted, not
// empty.
double percentile(const std::vector<double>& sorted, double percent);
Distribution distribution(std::vector<double> values);
// The same over (value, count) pairs.
Distribution weighted_distribution(std::vector<std::pair<Time, std::int64_t>> values);

// Milliseconds of every request that counts for the percentiles.
struct Latencies {
  std::vector<double> ttft, tpot, e2el;
  std::int64_t refused = 0;
};
Latencies latencies(const RunRecord& run, double warmup);

Summary summarise(const RunRecord& run, double warmup, const std::optional<SloSpec>& slo);

// How many requests the warm-up share leaves out.
std::int64_t warmup_requests(std::size_t requests, double warmup);

// What targets are compared with: the percentile of each latency over the requests behind the
// warm-up, in milliseconds; 0 where there is none. Refused requests are counted apart.
struct TargetLatencies {
  double ttft = 0, tpot = 0, e2e = 0;
  std::int64_t refused = 0;
};
TargetLatencies target_latencies(const RunRecord& run, double warmup, double percent);

// Set when the run was overloaded: the queue grew through the whole stretch of arrivals, and a good
// part of what was offered was still waiting to be admitted at its end.
std::optional<Overload> judge_overload(const RunRecord& run);

struct Interval {
  double low = 0, high = 0;
};

// The central `level` interval of replicated values, from their order statistics at the plotting
// positions (i - 1/2) / R: the replications are stratified, so that these are the right positions.
// REQUIRES: at least two values.
Interval replication_interval(std::vector<double> values, double level);
// The interval with an independent error of this spread (of the logarithm) besides.
Interval widened(const Interval& interval, double value, double sd, double level);

}  // namespace foretoken
