#include "sim/metrics/metrics.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken {
namespace {

// Fewer requests than this say nothing about a trend.
constexpr std::int64_t kMinimumForVerdict = 100;

bool meets(const RequestRecord& r, const SloSpec& slo) {
  const Time ttft = r.first_token - r.arrival;
  const Time e2e = r.finish - r.arrival;
  const std::int64_t gaps = r.output_tokens - 1;
  return !(slo.ttft && ttft > *slo.ttft) && !(slo.e2e && e2e > *slo.e2e) &&
         !(slo.tpot && gaps > 0 && (r.finish - r.first_token) / gaps > *slo.tpot);
}

}  // namespace

std::int64_t warmup_requests(std::size_t requests, double warmup) {
  return static_cast<std::int64_t>(std::floor(static_cast<double>(requests) * warmup));
}

void TimeShare::add(const TimeShare& other, std::int64_t times) {
  total += other.total * times;
  for (std::size_t i = 0; i < by_family.size(); ++i) {
    by_family[i] += other.by_family[i] * times;
  }
  for (std::size_t i = 0; i < by_provenance.size(); ++i) {
    by_provenance[i] += other.by_provenance[i] * times;
  }
}

double percentile(const std::vector<double>& sorted, double percent) {
  FT_CHECK(!sorted.empty());
  const double position = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - static_cast<double>(below));
}

Distribution distribution(std::vector<double> values) {
  Distribution d;
  d.count = static_cast<std::int64_t>(values.size());
  if (values.empty()) {
    return d;
  }
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double v : values) {
    sum += v;
  }
  d.mean = sum / n;
  double squares = 0;
  for (const double v : values) {
    squares += (v - d.mean) * (v - d.mean);
  }
  d.std_dev = std::sqrt(squares / n);
  d.median = percentile(values, 50);
  d.p90 = percentile(values, 90);
  d.p95 = percentile(values, 95);
  d.p99 = percentile(values, 99);
  return d;
}

Distribution weighted_distribution(std::vector<std::pair<Time, std::int64_t>> values) {
  Distribution d;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const auto& [value, count] : values) {
    d.count += count;
    sum += to_millis(value) * static_cast<double>(count);
  }
  if (d.count == 0) {
    return d;
  }
  const auto n = static_cast<double>(d.count);
  d.mean = sum / n;
  double squares = 0;
  for (const auto& [value, count] : values) {
    const double off = to_millis(value) - d.mean;
    squares += off * off * static_cast<double>(count);
  }
  d.std_dev = std::sqrt(squares / n);
  std::vector<std::int64_t> through;  // how many values up to and including each run
  through.reserve(values.size());
  for (const auto& [value, count] : values) {
    through.push_back((through.empty() ? 0 : through.back()) + count);
  }
  const auto value_at = [&](std::int64_t rank) {
    const auto run = std::upper_bound(through.begin(), through.end(), rank) - through.begin();
    return to_millis(values[static_cast<std::size_t>(run)].first);
  };
  const auto at = [&](double percent) {
    const double position = percent / 100 * (n - 1);
    const auto below = static_cast<std::int64_t>(position);
    const double low = value_at(below);
    const double high = value_at(std::min(below + 1, d.count - 1));
    return low + (high - low) * (position - static_cast<double>(below));
  };
  d.median = at(50);
  d.p90 = at(90);
  d.p95 = at(95);
  d.p99 = at(99);
  return d;
}

std::vector<std::pair<std::string, double>> Summary::metrics() const {
  std::vector<std::pair<std::string, double>> all{
      {"request_throughput", request_throughput},
      {"output_throughput", output_throughput},
      {"total_token_throughput", total_token_throughput}};
  if (request_goodput) {
    all.emplace_back("request_goodput", *request_goodput);
  }
  const std::pair<const char*, const Distribution*> parts[] = {
      {"ttft", &ttft}, {"tpot", &tpot}, {"itl", &itl}, {"e2el", &e2el}};
  for (const auto& [label, d] : parts) {
    if (d->count == 0) {
      continue;
    }
    const std::pair<const char*, double> statistics[] = {{"mean", d->mean},   {"median", d->median},
                                                         {"std", d->std_dev}, {"p90", d->p90},
                                                         {"p95", d->p95},     {"p99", d->p99}};
    for (const auto& [statistic, value] : statistics) {
      all.emplace_back(fmt::format("{}_{}_ms", statistic, label), value);
    }
  }
  return all;
}

Latencies latencies(const RunRecord& run, double warmup) {
  Latencies all;
  for (auto i = static_cast<std::size_t>(warmup_requests(run.requests.size(), warmup));
       i < run.requests.size(); ++i) {
    const RequestRecord& r = run.requests[i];
    if (r.failed()) {
      ++all.refused;
      continue;
    }
    if (r.finish == kTimeNever) {  // the run was stopped before
      continue;
    }
    all.ttft.push_back(to_millis(r.first_token - r.arrival));
    all.e2el.push_back(to_millis(r.finish - r.arrival));
    if (r.output_tokens > 1) {
      all.tpot.push_back(to_millis(r.finish - r.first_token) /
                         static_cast<double>(r.output_tokens - 1));
    }
  }
  return all;
}

Summary summarise(const RunRecord& run, double warmup, const std::optional<SloSpec>& slo) {
  Summary summary;
  std::int64_t good = 0;
  for (const RequestRecord& r : run.requests) {
    if (r.failed()) {
      ++summary.failed;
      continue;
    }
    ++summary.completed;
    summary.total_input_tokens += r.input_tokens;
    summary.total_output_tokens += r.output_tokens;
    good += slo && meets(r, *slo) ? 1 : 0;
  }
  const Time start = run.requests.empty() ? kTimeZero : run.requests.front().arrival;
  summary.duration_s = to_seconds(std::max(run.end - start, kTimeZero));
  if (summary.duration_s > 0) {
    const double seconds = summary.duration_s;
    summary.request_throughput = static_cast<double>(summary.completed) / seconds;
    summary.output_throughput = static_cast<double>(summary.total_output_tokens) / seconds;
    summary.total_token_throughput =
        static_cast<double>(summary.total_input_tokens + summary.total_output_tokens) / seconds;
    if (slo) {
      summary.request_goodput = static_cast<double>(good) / seconds;
    }
  }
  Latencies scored = latencies(run, warmup);
  summary.ttft = distribution(std::move(scored.ttft));
  summary.tpot = distribution(std::move(scored.tpot));
  summary.e2el = distribution(std::move(scored.e2el));
  summary.itl = weighted_distribution(run.gaps);
  summary.overload = judge_overload(run);
  return summary;
}

std::optional<Overload> judge_overload(const RunRecord& run) {
  const auto completed = std::count_if(run.requests.begin(), run.requests.end(),
                                       [](const RequestRecord& r) { return !r.failed(); });
  if (completed < kMinimumForVerdict) {
    return std::nullopt;
  }
  const Time span = run.requests.back().arrival - run.requests.front().arrival;
  if (span <= kTimeZero) {
    return std::nullopt;
  }
  const bool growing = run.waiting_end >= run.waiting_half + run.waiting_half / 2;
  const bool large = run.waiting_end * 20 > static_cast<std::int64_t>(run.requests.size());
  if (!growing || !large) {
    return std::nullopt;
  }
  const double seconds = to_seconds(span);
  return Overload{static_cast<double>(run.requests.size() - 1) / seconds,
                  static_cast<double>(run.finished_by_last_arrival) / seconds};
}

TargetLatencies target_latencies(const RunRecord& run, double warmup, double percent) {
  Latencies scored = latencies(run, warmup);
  const auto at = [&](std::vector<double>& values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : percentile(values, percent);
  };
  return {at(scored.ttft), at(scored.tpot), at(scored.e2el), scored.refused};
}

Interval replication_interval(std::vector<double> values, double level) {
  FT_CHECK(values.size() >= 2);
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  const auto at = [&](double p) {
    const double position = std::clamp(p * n - 0.5, 0.0, n - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] +
           (values[above] - values[below]) * (position - static_cast<double>(below));
  };
  return {at((1 - level) / 2), at((1 + level) / 2)};
}

Interval widened(const Interval& interval, double value, double sd, double level) {
  if (!(value > 0) || !(interval.low > 0) || !(sd > 0)) {
    return interval;
  }
  const double more = normal_quantile((1 + level) / 2) * sd;
  return {value * std::exp(-std::hypot(std::log(value / interval.low), more)),
          value * std::exp(std::hypot(std::log(interval.high / value), more))};
}

}  // namespace foretoken
