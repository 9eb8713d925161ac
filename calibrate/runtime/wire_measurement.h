// What a wire between two processes does, measured on the wire itself: latency, rate, bucket and
// what copying costs the processors; and what the codec costs of each format that travels on it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/collective/transport.h"
#include "sim/spec/format.h"
#include "sim/spec/profile.h"

namespace foretoken::runtime {

// Bytes that each of two ranks sends the other at the same time, and how long both take.
struct WirePoint {
  double bytes = 0;
  double seconds = 0;
};

struct WireFit {
  double latency = 0;         // s
  double bandwidth = 0;       // bytes/s once the bucket is empty; 0: never slower than copying
  double bucket = 0;          // bytes
  double copy_bandwidth = 0;  // bytes/s
  double error = 0;           // 0.9 quantile of |log(fit / measured)|
};
// Least mean |log ratio| of the formula of sim/cost/wire.h. `paced`: whether there is a bucket.
WireFit fit_wire(const std::vector<WirePoint>& points, bool paced);

struct CodecPoint {
  std::int64_t values = 0;
  double seconds = 0;  // of all codec passes of a two-step all-reduce of two ranks
};

struct WireMeasurement {
  double pace = 0;  // s of the sentinel (quiet.h), median over the points; 0: not known
  std::vector<WirePoint> points;
  std::vector<std::pair<Format, std::vector<CodecPoint>>> codecs;
};
// What a rank does before each timing: waits for a quiet moment, the others at a barrier for it.
// Returns what the sentinel says.
using Settle = std::function<double()>;

// Both ranks call it. The bucket is full before every exchange.
WireMeasurement measure_wire(kernels::Transport& transport, const std::vector<Format>& formats,
                             const Settle& settle);

// `wire.*` and `codec.*`, to be stacked on a profile of two ranks.
Profile wire_profile(const WireMeasurement& measured, bool paced);

// Joins two ranks as RankGroup does and measures. `wire`: nothing for the loopback device.
Profile calibrate_wire(const std::optional<std::string>& wire, const std::vector<Format>& formats);

}  // namespace foretoken::runtime
