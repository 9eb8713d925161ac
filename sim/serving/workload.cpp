#include "sim/serving/workload.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken {
namespace {

// A random source of gaps with mean 1/rate.
class Gaps {
 public:
  Gaps(const ArrivalSpec& spec, std::uint64_t seed) : spec_(spec), stream_(seed, "arrivals") {
    if (spec.kind == ArrivalSpec::Kind::weibull) {
      shape_ = weibull_shape(spec.cv);
      scale_ = 1 / (spec.rate * std::exp(std::lgamma(1 + 1 / shape_)));
    } else if (spec.kind == ArrivalSpec::Kind::gamma) {
      shape_ = 1 / (spec.cv * spec.cv);
      scale_ = 1 / (spec.rate * shape_);
    }
  }

  Time next() {
    switch (spec_.kind) {
      case ArrivalSpec::Kind::constant:
        return time_from_seconds(1 / spec_.rate);
      case ArrivalSpec::Kind::poisson:
        return time_from_seconds(stream_.exponential(1 / spec_.rate));
      case ArrivalSpec::Kind::gamma:
        return time_from_seconds(stream_.gamma(shape_, scale_));
      case ArrivalSpec::Kind::weibull:
        return time_from_seconds(stream_.weibull(shape_, scale_));
      case ArrivalSpec::Kind::trace:
      case ArrivalSpec::Kind::closed_loop:
      case ArrivalSpec::Kind::all_at_once:
        break;
    }
    return kTimeZero;
  }

 private:
  const ArrivalSpec& spec_;
  RandomStream stream_;
  double shape_ = 1;
  double scale_ = 1;
};

std::int64_t draw(const LengthSpec::Side& side, RandomStream& stream) {
  switch (side.kind) {
    case LengthSpec::Kind::uniform:
      return stream.uniform_int(side.low, side.high);
    case LengthSpec::Kind::lognormal: {
      const double value = stream.lognormal(std::log(side.median), side.sigma);
      return static_cast<std::int64_t>(std::llround(
          std::clamp(value, static_cast<double>(side.low), static_cast<double>(side.high))));
    }
    case LengthSpec::Kind::fixed:
    case LengthSpec::Kind::trace:
      break;
  }
  return side.low;
}

void cut(Request& request, std::int64_t max_total) {
  request.input_tokens = std::max<std::int64_t>(request.input_tokens, 1);
  request.output_tokens = std::max<std::int64_t>(request.output_tokens, 1);
  if (max_total <= 0) {
    return;
  }
  const std::int64_t excess = request.input_tokens + request.output_tokens - max_total;
  if (excess > 0) {
    request.input_tokens = std::max<std::int64_t>(1, request.input_tokens - excess);
    request.output_tokens = std::min(request.output_tokens,
                                     std::max<std::int64_t>(1, max_total - request.input_tokens));
  }
}

std::size_t request_count(const WorkloadSpec& spec, const Trace* arrivals, const Trace* lengths) {
  if (spec.arrivals.kind == ArrivalSpec::Kind::trace) {
    const std::size_t held = arrivals->requests.size();
    if (spec.requests > 0 && static_cast<std::size_t>(spec.requests) > held) {
      throw InputError(spec.mark, "workload.requests",
                       fmt::format("the arrival trace holds {} requests, {} are asked for", held,
                                   spec.requests));
    }
    return spec.requests > 0 ? static_cast<std::size_t>(spec.requests) : held;
  }
  return spec.requests > 0 ? static_cast<std::size_t>(spec.requests) : lengths->requests.size();
}

// The clients' first requests spread evenly over the ramp; every request leaves a random jitter
// late.
std::vector<Time> client_delays(const ArrivalSpec& spec, std::size_t count, std::uint64_t seed) {
  std::vector<Time> delays;
  if (spec.kind != ArrivalSpec::Kind::closed_loop ||
      (spec.ramp == kTimeZero && spec.jitter == kTimeZero)) {
    return delays;
  }
  RandomStream stream(seed, "client jitter");
  for (std::size_t i = 0; i < count; ++i) {
    const auto client = static_cast<std::int64_t>(i);
    const Time start =
        client < spec.concurrency ? spec.ramp * client / spec.concurrency : kTimeZero;
    delays.push_back(start + time_from_seconds(to_seconds(spec.jitter) * stream.uniform()));
  }
  return delays;
}

}  // namespace

double weibull_shape(double cv) {
  // cv^2 = gamma(1 + 2/k) / gamma(1 + 1/k)^2 - 1 falls with k: bisection on log k.
  const auto variation = [](double k) {
    return std::expm1(std::lgamma(1 + 2 / k) - 2 * std::lgamma(1 + 1 / k));
  };
  double low = std::log(0.1), high = std::log(100.0);
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    (variation(std::exp(middle)) > cv * cv ? low : high) = middle;
  }
  return std::exp(0.5 * (low + high));
}

Workload make_workload(const WorkloadSpec& spec, const Trace* arrivals, const Trace* lengths,
                       std::uint64_t seed) {
  const bool traced_arrivals = spec.arrivals.kind == ArrivalSpec::Kind::trace;
  const bool traced_lengths = spec.lengths.kind == LengthSpec::Kind::trace;
  FT_CHECK((!traced_arrivals || arrivals != nullptr) && (!traced_lengths || lengths != nullptr));
  if (traced_arrivals && !arrivals->has_arrivals) {
    throw InputError(spec.arrivals.mark, "workload.arrivals.trace",
                     "this trace has lengths but no arrival times; use it under lengths, with "
                     "arrivals such as {poisson: 8/s}");
  }
  Workload workload;
  if (spec.arrivals.kind == ArrivalSpec::Kind::closed_loop) {
    workload.concurrency = spec.arrivals.concurrency;
  }
  Gaps gaps(spec.arrivals, seed);
  RandomStream input(seed, "input lengths"), output(seed, "output lengths");
  Time now = kTimeZero;
  const std::size_t count = request_count(spec, arrivals, lengths);
  workload.requests.reserve(count);
  workload.delays = client_delays(spec.arrivals, count, seed);
  for (std::size_t i = 0; i < count; ++i) {
    Request request;
    if (traced_lengths) {
      request = lengths->requests[i % lengths->requests.size()];
    } else {
      request.input_tokens = draw(spec.lengths.input, input);
      request.output_tokens = draw(spec.lengths.output, output);
    }
    cut(request, spec.lengths.max_total);
    if (traced_arrivals) {
      now = Time(static_cast<std::int64_t>(std::llround(
          static_cast<double>(arrivals->requests[i].arrival.count()) / spec.arrivals.speedup)));
    } else if (i > 0) {
      now += gaps.next();
    }
    request.arrival = now;
    workload.requests.push_back(request);
  }
  return workload;
}

}  // namespace foretoken
