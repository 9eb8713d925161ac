// Quantities as text: "450GB/s", "700ns", "80GiB", "8/s", "5%". Decimal prefixes are powers of ten,
// binary ones (Ki, Mi, Gi, Ti) powers of two; bits are written "Gbit". A bare number is refused
// wherever a unit belongs, so that a value is never read in the wrong one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace foretoken {

enum class Unit {
  number,     // "3", "0.78"
  fraction,   // "5%" or "0.05"
  time,       // "700ns", "1.5ms", "2h"  -> seconds
  bytes,      // "80GiB", "50MB"         -> bytes
  bandwidth,  // "450GB/s", "400Gbit/s"  -> bytes per second
  rate,       // "8/s", "120/min"        -> per second
  compute,    // "989.4TFLOPS", "1979TOPS" -> operations per second
  money,      // "2.50" -> currency per hour, as a number
  power       // "700W" -> watts
};

// An example of the unit for error messages, such as "450GB/s".
std::string_view example(Unit unit);

// The value in SI base units (seconds, bytes, bytes/s, 1/s, op/s, W), or nothing with a reason.
struct ParsedQuantity {
  std::optional<double> value;
  std::string error;  // "unknown unit \"GBs\" (try 450GB/s)"
};
ParsedQuantity parse_quantity(std::string_view text, Unit unit);

// Shortest readable form that parses back to the same double: "450GB/s".
std::string format_quantity(double value, Unit unit);

// The candidate nearest to `text` by edit distance, or "" when none is near (distance > 1/2
// length).
template <class Range>
std::string_view nearest(std::string_view text, const Range& candidates);

int edit_distance(std::string_view a, std::string_view b);

template <class Range>
std::string_view nearest(std::string_view text, const Range& candidates) {
  std::string_view best;
  int best_distance = static_cast<int>(text.size()) / 2 + 1;
  for (const auto& candidate : candidates) {
    const int distance = edit_distance(text, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace foretoken
