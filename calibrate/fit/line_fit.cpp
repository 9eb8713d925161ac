#include "calibrate/fit/line_fit.h"

#include <algorithm>
#include <cmath>

#include "calibrate/fit/search.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr std::size_t kFolds = 5;
constexpr double kQuantile90 = 1.6448536269514722;

LineFit fit_parameters(const std::vector<LinePoint>& points) {
  FT_CHECK(!points.empty(), "no samples to fit");
  double shortest = points.front().seconds;
  double rate = 0;
  for (const LinePoint& point : points) {
    shortest = std::min(shortest, point.seconds);
    rate = std::max(rate, point.work / point.seconds);
  }
  LineFit fit;
  const auto cost = [&](const std::vector<double>& p) {
    const LineFit trial{p[0], p[1], 0, {}};
    double sum = 0;
    for (const LinePoint& point : points) {
      sum += std::abs(std::log(line_seconds(trial, point) / point.seconds));
    }
    return sum;
  };
  const auto best = minimise_log(cost, {shortest / 2, rate});
  fit.t0 = best[0];
  fit.rate = best[1];
  return fit;
}

}  // namespace

double line_seconds(const LineFit& fit, const LinePoint& point) {
  return fit.t0 + std::max(point.work / fit.rate, point.least);
}

LineFit fit_line(const std::vector<LinePoint>& points, double repeatability) {
  LineFit fit = fit_parameters(points);
  std::vector<double> errors;
  for (std::size_t fold = 0; fold < std::min(kFolds, points.size()); ++fold) {
    std::vector<LinePoint> known;
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (i % kFolds != fold) {
        known.push_back(points[i]);
      }
    }
    if (known.size() < 2) {
      continue;
    }
    const LineFit part = fit_parameters(known);
    for (std::size_t i = fold; i < points.size(); i += kFolds) {
      errors.push_back(std::log(line_seconds(part, points[i]) / points[i].seconds));
    }
  }
  fit.sd = std::max(repeatability, 0.005);
  if (!errors.empty()) {
    std::vector<double> sizes;
    for (const double error : errors) {
      sizes.push_back(std::abs(error));
    }
    fit.sd = std::max(fit.sd, quantile(sizes, 0.9) / kQuantile90);
    fit.held_out = summarise_errors(errors, std::vector<double>(errors.size(), fit.sd));
  }
  return fit;
}

}  // namespace foretoken::calibrate
