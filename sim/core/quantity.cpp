#include "sim/core/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <vector>

namespace foretoken {
namespace {

struct Suffix {
  std::string_view text;
  double factor;
};

// The first suffix of a table is the one written when no larger fits; tables ascend.
constexpr std::array kTime{Suffix{"ps", 1e-12}, Suffix{"ns", 1e-9}, Suffix{"us", 1e-6},
                           Suffix{"ms", 1e-3},  Suffix{"s", 1},     Suffix{"min", 60},
                           Suffix{"h", 3600}};
constexpr std::array kBytes{Suffix{"B", 1},
                            Suffix{"kB", 1e3},
                            Suffix{"KiB", 1024},
                            Suffix{"MB", 1e6},
                            Suffix{"MiB", 1048576},
                            Suffix{"GB", 1e9},
                            Suffix{"GiB", 1073741824},
                            Suffix{"TB", 1e12},
                            Suffix{"TiB", 1099511627776}};
constexpr std::array kBandwidth{
    Suffix{"B/s", 1},        Suffix{"kB/s", 1e3},  Suffix{"KiB/s", 1024},
    Suffix{"Mbit/s", 125e3}, Suffix{"MB/s", 1e6},  Suffix{"MiB/s", 1048576},
    Suffix{"Gbit/s", 125e6}, Suffix{"GB/s", 1e9},  Suffix{"GiB/s", 1073741824},
    Suffix{"Tbit/s", 125e9}, Suffix{"TB/s", 1e12}, Suffix{"TiB/s", 1099511627776}};
constexpr std::array kRate{Suffix{"/h", 1.0 / 3600}, Suffix{"/min", 1.0 / 60}, Suffix{"/s", 1}};
constexpr std::array kCompute{Suffix{"GFLOPS", 1e9}, Suffix{"GOPS", 1e9}, Suffix{"TFLOPS", 1e12},
                              Suffix{"TOPS", 1e12}, Suffix{"PFLOPS", 1e15}};
constexpr std::array kPower{Suffix{"W", 1}, Suffix{"kW", 1e3}};

std::span<const Suffix> suffixes(Unit unit) {
  switch (unit) {
    case Unit::time:
      return kTime;
    case Unit::bytes:
      return kBytes;
    case Unit::bandwidth:
      return kBandwidth;
    case Unit::rate:
      return kRate;
    case Unit::compute:
      return kCompute;
    case Unit::power:
      return kPower;
    case Unit::number:
    case Unit::fraction:
    case Unit::money:
      break;
  }
  return {};
}

std::string_view strip(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Decimal-like units are written with decimal prefixes only.
bool written(Suffix suffix) {
  return suffix.text.find('i') == std::string_view::npos || suffix.text == "min" ||
         suffix.text == "/min";
}

}  // namespace

std::string_view example(Unit unit) {
  switch (unit) {
    case Unit::number:
      return "3 or 0.78";
    case Unit::fraction:
      return "5% or 0.05";
    case Unit::time:
      return "700ns, 1.5ms or 2s";
    case Unit::bytes:
      return "80GiB or 50MB";
    case Unit::bandwidth:
      return "450GB/s or 400Gbit/s";
    case Unit::rate:
      return "8/s or 120/min";
    case Unit::compute:
      return "989.4TFLOPS";
    case Unit::money:
      return "2.50";
    case Unit::power:
      return "700W";
  }
  return "";
}

ParsedQuantity parse_quantity(std::string_view raw, Unit unit) {
  const std::string_view text = strip(raw);
  const auto fail = [&](std::string reason) {
    return ParsedQuantity{std::nullopt, fmt::format("{} (try {})", reason, example(unit))};
  };
  if (text.empty()) {
    return fail("empty value");
  }
  double value = 0;
  const char* begin = text.data() + (text.front() == '+' ? 1 : 0);
  const auto [end, code] = std::from_chars(begin, text.data() + text.size(), value);
  if (code != std::errc() || !std::isfinite(value)) {
    return fail(fmt::format("\"{}\" is not a finite number", text));
  }
  const std::string_view suffix =
      strip({end, static_cast<std::size_t>(text.data() + text.size() - end)});
  const auto table = suffixes(unit);
  if (table.empty()) {
    if (suffix.empty()) {
      return {value, {}};
    }
    if (unit == Unit::fraction && suffix == "%") {
      return {value / 100, {}};
    }
    return fail(fmt::format("unexpected \"{}\" after the number", suffix));
  }
  for (const Suffix& candidate : table) {
    if (candidate.text == suffix) {
      return {value * candidate.factor, {}};
    }
  }
  if (suffix.empty()) {
    return fail(fmt::format("\"{}\" needs a unit", text));
  }
  return fail(fmt::format("unknown unit \"{}\"", suffix));
}

std::string format_quantity(double value, Unit unit) {
  const auto table = suffixes(unit);
  if (table.empty()) {
    return fmt::format("{}", value);
  }
  const Suffix* best = nullptr;
  for (const Suffix& candidate : table) {
    if (!written(candidate)) {
      continue;
    }
    if (best == nullptr || std::abs(value) >= candidate.factor) {
      // Only a suffix that brings back the same double may be used.
      if (best == nullptr || value / candidate.factor * candidate.factor == value) {
        best = &candidate;
      }
    }
  }
  if (value == 0 && unit == Unit::time) {
    return "0s";
  }
  double scaled = value / best->factor;
  if (scaled * best->factor != value) {
    // The smallest unit cannot carry it exactly either: fall back to the unit of factor one.
    for (const Suffix& candidate : table) {
      if (candidate.factor == 1) {
        best = &candidate;
        scaled = value;
      }
    }
  }
  return fmt::format("{}{}", scaled, best->text);
}

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = static_cast<int>(j);
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

}  // namespace foretoken
