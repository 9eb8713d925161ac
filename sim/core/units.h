// Typed time, bytes and bandwidth. Time is a 64-bit integer count of picoseconds (range: 106 days),
// so that sums are exact and a run gives the same bytes on every machine. GB is 10^9, GiB is 2^30.
#pragma once

#include <chrono>
#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>
#include <ratio>

namespace foretoken {

using Time = std::chrono::duration<std::int64_t, std::pico>;

inline constexpr Time kTimeZero = Time::zero();
inline constexpr Time kTimeNever = Time::max();
inline constexpr double kPicosPerSecond = 1e12;

// Seconds to picoseconds, rounded up: a positive duration never becomes zero, and work never ends
// early. Saturates at kTimeNever. REQUIRES: seconds is not NaN and not negative.
inline Time time_from_seconds(double seconds) {
  const double picos = std::ceil(seconds * kPicosPerSecond);
  if (picos >= static_cast<double>(std::numeric_limits<std::int64_t>::max())) {
    return kTimeNever;
  }
  return Time(static_cast<std::int64_t>(picos));
}

constexpr double to_seconds(Time t) { return static_cast<double>(t.count()) / kPicosPerSecond; }
constexpr double to_millis(Time t) { return static_cast<double>(t.count()) / 1e9; }
constexpr double to_micros(Time t) { return static_cast<double>(t.count()) / 1e6; }

// A whole number of bytes; packed formats take fractions per value (Format::bytes_per_value).
struct Bytes {
  std::int64_t count = 0;
  constexpr auto operator<=>(const Bytes&) const = default;
  constexpr Bytes& operator+=(Bytes o) { return count += o.count, *this; }
  constexpr Bytes& operator-=(Bytes o) { return count -= o.count, *this; }
};
constexpr Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
constexpr Bytes operator-(Bytes a, Bytes b) { return {a.count - b.count}; }
constexpr Bytes operator*(Bytes a, std::int64_t n) { return {a.count * n}; }
constexpr double to_gib(Bytes b) { return static_cast<double>(b.count) / 1073741824.0; }

// Bytes per second, one direction.
struct Bandwidth {
  double bytes_per_second = 0;
  constexpr auto operator<=>(const Bandwidth&) const = default;
};
constexpr Bandwidth operator*(Bandwidth b, double factor) { return {b.bytes_per_second * factor}; }

// REQUIRES: bandwidth > 0.
inline Time transfer_time(Bytes bytes, Bandwidth bandwidth) {
  return time_from_seconds(static_cast<double>(bytes.count) / bandwidth.bytes_per_second);
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t multiple) {
  return ceil_div(a, multiple) * multiple;
}

}  // namespace foretoken
