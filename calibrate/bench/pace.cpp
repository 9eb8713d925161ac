#include "calibrate/bench/pace.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr double kCrowd = 1.1;                       // widest ratio within a crowd
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

}  // namespace

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
  while (3 * (end[first] - first) < densest) {
    ++first;
  }
  std::size_t best = first;
  for (std::size_t i = first; i < end[first]; ++i) {
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
