#include "calibrate/bench/pace.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <utility>

#include "calibrate/bench/thread_pair.h"
#include "calibrate/bench/timing.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr double kCrowd = 1.1;                       // widest ratio within a crowd
constexpr double kClocks = 1.25;                     // between a core's clocks
constexpr std::size_t kFewest = 10;                  // the densest crowd may be so much denser
constexpr double kCompute = 0.9, kStreaming = 0.45;  // GEMM of many rows, of few
constexpr double kFewRows = 16, kManyRows = 128;

// Weights that are turned into bf16 before they are multiplied keep the core busy at any size.
bool unpacks(std::string_view gemm_format) {
  return gemm_format.find("a16") != std::string_view::npos || gemm_format.starts_with("fp8");
}

double gemm_elasticity(std::string_view format, double rows) {
  if (unpacks(format)) {
    return kCompute;
  }
  const double share = std::log(rows / kFewRows) / std::log(kManyRows / kFewRows);
  return std::lerp(kStreaming, kCompute, std::clamp(share, 0.0, 1.0));
}

// Chains enough to cover the latency of a multiplication and an addition, few enough for the
// registers of SSE2.
constexpr std::size_t kChains = 12;
using Lanes [[gnu::vector_size(16)]] = float;

// One step of every chain, written out so that all of them stay in registers.
template <std::size_t... I>
void step(std::array<Lanes, kChains>& chains, Lanes factor, Lanes term, std::index_sequence<I...>) {
  ((chains[I] = chains[I] * factor + term), ...);
}

float arithmetic() {
  constexpr int kSteps = 20000;
  std::array<Lanes, kChains> chains{};
  const Lanes factor = Lanes{} + 0.75F;
  const Lanes term = Lanes{} + 0.5F;
  for (int i = 0; i < kSteps; ++i) {
    step(chains, factor, term, std::make_index_sequence<kChains>());
  }
  Lanes sum{};
  for (const Lanes& chain : chains) {
    sum += chain;
  }
  return sum[0];
}

double median(std::array<double, 5> values) {
  std::nth_element(values.begin(), values.begin() + 2, values.end());
  return values[2];
}

}  // namespace

double sentinel_seconds() {
  std::array<double, 5> readings{};
  for (double& reading : readings) {
    const double start = now_seconds();
    volatile float kept = arithmetic();  // cannot be left out
    static_cast<void>(kept);
    reading = now_seconds() - start;
  }
  return median(readings);
}

namespace {

constexpr int kTrips = 20;  // of five pieces

// A line that goes to and fro.
class Exchange {
 public:
  double seconds(int rank) {
    std::array<double, 5> pieces{};
    for (double& piece : pieces) {
      const double start = now_seconds();
      for (int trip = 0; trip < kTrips; ++trip) {
        ++trips_[static_cast<std::size_t>(rank)].count;
        if (rank == 0) {
          there_.store(trips_[0].count, std::memory_order_release);
          await(back_, trips_[0].count);
        } else {
          await(there_, trips_[1].count);
          back_.store(trips_[1].count, std::memory_order_release);
        }
      }
      piece = now_seconds() - start;
    }
    return static_cast<double>(pieces.size()) * median(pieces);
  }

 private:
  static void await(const std::atomic<int>& line, int count) {
    while (line.load(std::memory_order_acquire) < count) {
    }
  }
  static constexpr std::size_t kApart = 128;  // bytes; neighbouring lines are fetched in pairs
  struct alignas(kApart) Count {
    int count = 0;
  };
  alignas(kApart) std::atomic<int> there_{0};
  alignas(kApart) std::atomic<int> back_{0};
  std::array<Count, 2> trips_;
};

}  // namespace

double pair_sentinel_seconds(CorePair& pair, int core_a, int core_b) {
  std::array<double, 2> arithmetic{};
  double exchange = 0;
  Exchange line;
  pair.run(core_a, core_b, [&](int rank) {
    arithmetic[static_cast<std::size_t>(rank)] = sentinel_seconds();
    const double seconds = line.seconds(rank);
    if (rank == 0) {
      exchange = seconds;
    }
  });
  return std::max(arithmetic[0], arithmetic[1]) + exchange;
}

double usual_reading(std::vector<double> readings) {
  FT_CHECK(!readings.empty());
  std::sort(readings.begin(), readings.end());
  std::vector<std::size_t> end(readings.size());  // of the crowd that begins here
  std::size_t densest = 0;
  for (std::size_t i = 0, j = 0; i < readings.size(); ++i) {
    while (j < readings.size() && readings[j] <= kCrowd * readings[i]) {
      ++j;
    }
    end[i] = j;
    densest = std::max(densest, j - i);
  }
  std::size_t first = 0;
  while (kFewest * (end[first] - first) < densest) {
    ++first;
  }
  std::size_t best = first;
  for (std::size_t i = first; i < readings.size() && readings[i] <= kClocks * readings[first];
       ++i) {
    best = end[i] - i > end[best] - best ? i : best;
  }
  return readings[best + (end[best] - best) / 2];
}

double pace_elasticity(std::string_view table, const std::vector<std::int64_t>& shape) {
  if (table.starts_with("gemm.") && !shape.empty()) {
    return gemm_elasticity(table.substr(5), static_cast<double>(shape.front()));
  }
  struct Family {
    std::string_view prefix;
    double elasticity;
  };
  constexpr Family kFamilies[] = {{"attention.prefill.", 0.9},
                                  {"attention.decode.", 0.6},
                                  {"elementwise.", 0.75},
                                  {"codec.", 1},
                                  {"all_reduce.", 0.8},
                                  {"tcp_all_reduce.", 0.8},
                                  {"host.", 1}};
  for (const Family& family : kFamilies) {
    if (table.starts_with(family.prefix)) {
      return family.elasticity;
    }
  }
  return 0;  // memory
}

double at_pace(double seconds, double elasticity, double measured, double wanted) {
  return seconds * std::pow(wanted / measured, elasticity);
}

}  // namespace foretoken::calibrate
