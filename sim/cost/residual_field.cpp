#include "sim/cost/residual_field.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/core/error.h"

namespace foretoken {
namespace {

double squared_distance(std::span<const double> a, std::span<const double> b,
                        const std::vector<double>& lengths) {
  double sum = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const double d = (a[i] - b[i]) / lengths[i];
    sum += d * d;
  }
  return sum;
}

std::span<const double> point(const ResidualField::Samples& samples, std::size_t i) {
  return {&samples.at[i * samples.axes], samples.axes};
}

}  // namespace

double matern(double distance) {
  const double x = 1.7320508075688772 * distance;
  return (1 + x) * std::exp(-x);
}

std::vector<double> ResidualField::covariance(const Samples& samples, const Settings& settings) {
  const std::size_t n = samples.count();
  const double variance = settings.sd * settings.sd;
  std::vector<double> matrix(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double d =
          std::sqrt(squared_distance(point(samples, i), point(samples, j), settings.lengths));
      matrix[i * n + j] = matrix[j * n + i] = variance * matern(d);
    }
    const double excess = samples.excess.empty() ? 0 : samples.excess[i];
    matrix[i * n + i] = variance + settings.noise * settings.noise + excess * excess;
  }
  return matrix;
}

ResidualField::ResidualField(Samples samples, Settings settings)
    : samples_(std::move(samples)),
      settings_(std::move(settings)),
      factor_(covariance(samples_, settings_), samples_.count()),
      weights_(factor_.solve(samples_.residual)) {
  FT_CHECK(samples_.axes == settings_.lengths.size() && samples_.count() > 0);
  FT_CHECK(samples_.surprise.empty() || samples_.surprise.size() == samples_.count());
}

double ResidualField::spread_of(double kriging_sd) { return std::pow(kriging_sd, 0.75); }

double ResidualField::surprise_at(const Samples& samples, const Settings& settings,
                                  std::span<const double> where, std::span<const char> left_out) {
  if (samples.surprise.empty()) {
    return 1;
  }
  double overall = 0;
  double sum = 0;
  double weights = 0;
  for (std::size_t i = 0; i < samples.count(); ++i) {
    overall += samples.surprise[i] / static_cast<double>(samples.count());
    if (left_out.empty() || left_out[i] == 0) {
      const double squared = squared_distance(where, point(samples, i), settings.lengths);
      const double weight = std::exp(-squared / (2 * settings.reach * settings.reach));
      sum += weight * samples.surprise[i];
      weights += weight;
    }
  }
  return (sum + settings.prior * overall) / (weights + settings.prior);
}

ResidualField::Prediction ResidualField::at(std::span<const double> where) const {
  const std::size_t n = samples_.count();
  const double variance = settings_.sd * settings_.sd;
  std::vector<double> near(n);
  Prediction prediction;
  for (std::size_t i = 0; i < n; ++i) {
    near[i] = variance *
              matern(std::sqrt(squared_distance(where, point(samples_, i), settings_.lengths)));
    prediction.log_residual += near[i] * weights_[i];
  }
  double explained = 0;
  for (const double x : factor_.forward(near)) {
    explained += x * x;
  }
  prediction.kriging_sd =
      std::sqrt(std::max(variance + settings_.noise * settings_.noise - explained, 1e-8));
  prediction.sd = settings_.widen * surprise_at(samples_, settings_, where, {}) *
                  spread_of(prediction.kriging_sd);
  return prediction;
}

}  // namespace foretoken
