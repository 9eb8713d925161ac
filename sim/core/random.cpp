#include "sim/core/random.h"

#include <cmath>

namespace foretoken {
namespace {

constexpr std::uint64_t rotate_left(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

}  // namespace

double normal_quantile(double p) {
  constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                          1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                          6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                          -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                          3.754408661907416e+00};
  constexpr double low = 0.02425;
  if (p < low || p > 1 - low) {
    const double q = std::sqrt(-2 * std::log(p < low ? p : 1 - p));
    const double tail = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
                        ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    return p < low ? tail : -tail;
  }
  const double q = p - 0.5;
  const double r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

RandomStream::RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t index) {
  std::uint64_t x = hash_combine(hash_combine(mix64(seed), hash_text(purpose)), index);
  for (std::uint64_t& word : state_) {
    x = mix64(x);
    word = x;
  }
}

std::uint64_t RandomStream::next() {
  const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

double RandomStream::uniform() { return (static_cast<double>(next() >> 12) + 0.5) * 0x1.0p-52; }

std::int64_t RandomStream::uniform_int(std::int64_t low, std::int64_t high) {
  // The bias of the modulo is below range / 2^64: nothing a simulation can see.
  const auto range = static_cast<std::uint64_t>(high - low) + 1;
  return range == 0 ? static_cast<std::int64_t>(next())
                    : low + static_cast<std::int64_t>(next() % range);
}

double RandomStream::exponential(double mean) { return -mean * std::log(uniform()); }

double RandomStream::normal() { return normal_quantile(uniform()); }

double RandomStream::lognormal(double mu, double sigma) { return std::exp(mu + sigma * normal()); }

// Marsaglia and Tsang 2000; shapes below one by the boost x u^(1/shape).
double RandomStream::gamma(double shape, double scale) {
  if (shape < 1) {
    const double boost = std::pow(uniform(), 1 / shape);
    return boost * gamma(shape + 1, scale);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal();
    const double v = (1 + c * x) * (1 + c * x) * (1 + c * x);
    if (v <= 0) {
      continue;
    }
    const double u = uniform();
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      return d * v * scale;
    }
  }
}

double RandomStream::weibull(double shape, double scale) {
  return scale * std::pow(-std::log(uniform()), 1 / shape);
}

}  // namespace foretoken
