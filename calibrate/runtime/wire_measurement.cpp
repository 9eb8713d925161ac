#include "calibrate/runtime/wire_measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/timing.h"
#include "calibrate/fit/line_fit.h"
#include "calibrate/fit/search.h"
#include "calibrate/runtime/quiet.h"
#include "calibrate/runtime/rank_group.h"
#include "kernels/base/float_types.h"
#include "kernels/base/rounds.h"
#include "kernels/collective/collective.h"
#include "kernels/collective/timing.h"
#include "sim/cost/wire.h"

namespace foretoken::runtime {
namespace {

constexpr std::size_t kLargest = std::size_t{4} << 20;
constexpr std::size_t kMostValues = std::size_t{4} << 20;
constexpr double kRefill = 4e-3;   // s of silence before an exchange: fills 128 KiB at 300 Mbit/s
constexpr double kPatience = 0.1;  // s for a quiet moment before each timing
constexpr double kQuantile90 = 1.6448536269514722;

// Spins, as a rank computes between two collectives.
void be_busy(double seconds) {
  const double end = calibrate::now_seconds() + seconds;
  while (calibrate::now_seconds() < end) {
  }
}

// The lower quartile: what disturbs an exchange only makes it longer.
double quartile_of(int rounds, const auto& once) {
  std::vector<double> seconds;
  seconds.reserve(static_cast<std::size_t>(rounds));
  for (int i = 0; i < rounds; ++i) {
    seconds.push_back(once());
  }
  return calibrate::quantile(seconds, 0.25);
}

double exchange_seconds(kernels::Transport& transport, std::vector<std::uint8_t>& out,
                        std::vector<std::uint8_t>& in, std::size_t bytes, const Settle& settle) {
  kernels::Exchange exchange;
  const int peer = 1 - transport.rank();
  exchange.send(peer, std::span(out).first(bytes));
  exchange.receive(peer, std::span(in).first(bytes));
  return quartile_of(9, [&] {
    settle();
    kernels::barrier(transport);  // the other rank slept meanwhile and comes out of it late
    be_busy(kRefill);
    kernels::barrier(transport);
    return kernels::wall_seconds(1, [&] { transport.exchange(exchange); });
  });
}

// All of a two-step all-reduce but the exchanges.
double codec_seconds(kernels::Transport& transport, const Format& wire, std::size_t values,
                     const Settle& settle) {
  kernels::CollectiveDesc desc;
  desc.type = kernels::ValueType::bf16;
  desc.values = values;
  desc.first = desc.second = kernels::parse_wire_format(to_string(wire));
  desc.phases.wire = false;
  kernels::Collective collective(transport, desc);
  std::vector<kernels::Bf16> data(values, kernels::to_bf16(0.5F));
  for (std::size_t i = 0; i < values; ++i) {
    data[i] = kernels::to_bf16(static_cast<float>(i % 257) / 128 - 1);
  }
  std::vector<kernels::Bf16> out(values);
  const int calls =
      static_cast<int>(std::clamp<std::size_t>(200'000 / std::max<std::size_t>(values, 1), 1, 200));
  return quartile_of(7, [&] {
    settle();
    kernels::barrier(transport);
    return kernels::wall_seconds(calls, [&] { collective.run(data.data(), out.data()); });
  });
}

}  // namespace

WireFit fit_wire(const std::vector<WirePoint>& points, bool paced) {
  const auto wire_of = [&](const std::vector<double>& p) {
    Wire wire;
    wire.latency = p[0];
    wire.copy_bandwidth = p[1];
    if (paced) {
      wire.bandwidth = p[2];
      wire.bucket = p[3];
    }
    return wire;
  };
  const auto cost = [&](const std::vector<double>& p) {
    double sum = 0;
    for (const WirePoint& point : points) {
      sum += std::abs(std::log(wire_of(p).seconds(point.bytes, 1) / point.seconds));
    }
    return sum;
  };
  // A paced wire's two largest messages differ by nothing but its rate: the search begins there.
  const WirePoint& last = points.back();
  const WirePoint& middle = points[points.size() - 2];
  const double rate = (last.bytes - middle.bytes) / std::max(last.seconds - middle.seconds, 1e-9);
  const double latency = points.front().seconds;
  std::vector<double> start{latency, paced ? 10 * rate : last.bytes / last.seconds};
  if (paced) {
    const double bucket = last.bytes - rate * (last.seconds - latency);
    start.insert(start.end(), {rate, std::max(bucket, 4096.0)});
  }
  const std::vector<double> best = calibrate::minimise_log(cost, start, 2, 40);
  const Wire wire = wire_of(best);
  std::vector<double> errors;
  errors.reserve(points.size());
  for (const WirePoint& point : points) {
    errors.push_back(std::abs(std::log(wire.seconds(point.bytes, 1) / point.seconds)));
  }
  return {wire.latency, wire.bandwidth, wire.bucket, wire.copy_bandwidth,
          calibrate::quantile(errors, 0.9)};
}

WireMeasurement measure_wire(kernels::Transport& transport, const std::vector<Format>& formats,
                             const Settle& settle) {
  WireMeasurement measured;
  std::vector<double> paces;
  const Settle noted = [&] { return paces.emplace_back(settle()); };
  std::vector<std::uint8_t> out(kLargest, 1), in(kLargest);
  for (std::size_t bytes = 256; bytes <= kLargest; bytes *= 2) {
    const double seconds = exchange_seconds(transport, out, in, bytes, noted);
    measured.points.push_back({static_cast<double>(bytes), seconds});
  }
  for (const Format& format : formats) {
    std::vector<CodecPoint> points;
    for (std::size_t values = 1024; values <= kMostValues; values *= 4) {
      points.push_back(
          {static_cast<std::int64_t>(values), codec_seconds(transport, format, values, noted)});
    }
    measured.codecs.emplace_back(format, std::move(points));
  }
  measured.pace = calibrate::quantile(paces, 0.5);
  return measured;
}

Profile wire_profile(const WireMeasurement& measured, bool paced) {
  Profile profile;
  const auto set = [&](const std::string& key, double value, const std::string& how) {
    profile.parameters[key] = {
        value, Provenance::measured,
        fmt::format("foretoken verify, {}: {}", calibrate::this_machine().date, how)};
  };
  if (measured.pace > 0) {
    set("wire.pace", measured.pace, "median over the messages");
  }
  const WireFit fit = fit_wire(measured.points, paced);
  const std::string how =
      fmt::format("{} message sizes exchanged by both ranks; 90 % within {:.1f} %",
                  measured.points.size(), 100 * fit.error);
  set("wire.latency", fit.latency, how);
  set("wire.copy_bandwidth", fit.copy_bandwidth, how);
  if (paced) {
    set("wire.bandwidth", fit.bandwidth, how);
    set("wire.bucket", fit.bucket, how);
  }
  double error = 0;
  constexpr int kRanks = 2;
  const double passes = wire_work(CollectiveKind::all_reduce, 0, kRanks).codec_passes;
  for (const auto& [format, points] : measured.codecs) {
    std::vector<calibrate::LinePoint> line;
    for (const CodecPoint& point : points) {
      line.push_back({2.0 * static_cast<double>(point.values), point.seconds / passes, 0});
    }
    const calibrate::LineFit codec = calibrate::fit_line(line, 0.02);
    const std::string key = "codec." + to_string(format);
    const std::string codec_how = fmt::format(
        "a two-step all-reduce without its exchanges, mean of {} passes; held out {:.1f} %", passes,
        100 * codec.held_out.mean);
    set(key + ".t0", codec.t0, codec_how);
    set(key + ".bandwidth", codec.rate, codec_how);
    error = std::max(error, codec.held_out.mean);
  }
  set("codec.sd_family", error, "largest mean error on held-out sizes");
  set("wire.sd_family", std::hypot(fit.error / kQuantile90, 0.02), how);
  return profile;
}

Profile calibrate_wire(const std::optional<std::string>& wire, const std::vector<Format>& formats) {
  RankGroup group(2, wire, [&](kernels::Transport& transport) {
    measure_wire(transport, formats, [] { return 0.0; });
  });
  // The other rank waits at a barrier meanwhile.
  Sentinel sentinel(group.cores(), 2);
  const WireMeasurement measured =
      measure_wire(*group.transport(), formats, [&] { return sentinel.wait(kPatience); });
  return wire_profile(measured, wire && !wire->empty());
}

}  // namespace foretoken::runtime
