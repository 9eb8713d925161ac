#include "calibrate/fit/search.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr double kGolden = 0.6180339887498949;
constexpr int kSections = 24;  // narrows the range by 1e5

double golden_section(const std::function<double(double)>& cost, double low, double high) {
  double a = high - kGolden * (high - low);
  double b = low + kGolden * (high - low);
  double at_a = cost(a);
  double at_b = cost(b);
  for (int i = 0; i < kSections; ++i) {
    if (at_a <= at_b) {
      high = b;
      b = a;
      at_b = at_a;
      a = high - kGolden * (high - low);
      at_a = cost(a);
    } else {
      low = a;
      a = b;
      at_a = at_b;
      b = low + kGolden * (high - low);
      at_b = cost(b);
    }
  }
  return at_a <= at_b ? a : b;
}

}  // namespace

std::vector<double> minimise_log(const std::function<double(const std::vector<double>&)>& cost,
                                 std::vector<double> start, double log_range, int sweeps) {
  std::vector<double> best = std::move(start);
  double lowest = cost(best);
  double range = log_range;
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    for (std::size_t i = 0; i < best.size(); ++i) {
      const double centre = std::log(best[i]);
      std::vector<double> trial = best;
      const auto along = [&](double x) {
        trial[i] = std::exp(x);
        return cost(trial);
      };
      const double x = golden_section(along, centre - range, centre + range);
      if (const double value = along(x); value < lowest) {
        lowest = value;
        best[i] = std::exp(x);
      }
    }
    range = std::max(range * 0.7, 0.05);
  }
  return best;
}

std::vector<double> minimise_steps(const std::function<double(const std::vector<double>&)>& cost,
                                   std::vector<double> start, const std::vector<double>& low,
                                   const std::vector<double>& high, int sweeps) {
  constexpr double kGain = 1e-9;
  std::vector<double> best = std::move(start);
  double lowest = cost(best);
  std::vector<double> step(best.size(), 1.0);
  // Goes on in one direction while that helps; true when it did at all.
  const auto walk = [&](std::size_t i, double by) {
    bool moved = false;
    while (true) {
      std::vector<double> trial = best;
      trial[i] = std::clamp(best[i] + by, low[i], high[i]);
      if (trial[i] == best[i]) {
        return moved;
      }
      const double value = cost(trial);
      if (!(value < lowest - kGain)) {
        return moved;
      }
      lowest = value;
      best = std::move(trial);
      moved = true;
    }
  };
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    for (std::size_t i = 0; i < best.size(); ++i) {
      if (!walk(i, step[i]) && !walk(i, -step[i])) {
        step[i] /= 2;
      }
    }
  }
  return best;
}

double quantile(std::vector<double> values, double q) {
  FT_CHECK(!values.empty(), "quantile of nothing");
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  const double rest = at - static_cast<double>(i);
  return i + 1 < values.size() ? values[i] + rest * (values[i + 1] - values[i]) : values.back();
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace foretoken::calibrate
