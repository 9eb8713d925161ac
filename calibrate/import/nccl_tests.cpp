#include "calibrate/import/nccl_tests.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

struct Type {
  std::string_view name;
  std::string_view format;
  int bytes;
};
constexpr Type kTypes[] = {{"float", "fp32", 4},  {"half", "fp16", 2},  {"bfloat16", "bf16", 2},
                           {"int8", "int8", 1},   {"uint8", "int8", 1}, {"f8e4m3", "fp8", 1},
                           {"fp8_e4m3", "fp8", 1}};

// busbw / algbw (nccl-tests doc/PERFORMANCE.md): bytes a rank must move for each byte of the
// vector.
double bus_factor(const std::string& operation, int ranks) {
  const double others = static_cast<double>(ranks - 1) / ranks;
  if (operation == "all_reduce") {
    return 2 * others;
  }
  if (operation == "all_gather" || operation == "reduce_scatter" || operation == "all_to_all") {
    return others;
  }
  if (operation == "send_recv") {
    return 1;
  }
  throw InputError(
      fmt::format("unknown collective \"{}\" (known: all_reduce, all_gather, "
                  "reduce_scatter, all_to_all, send_recv)",
                  operation));
}

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> all;
  for (std::string word; stream >> word;) {
    all.push_back(word);
  }
  return all;
}

class Reader {
 public:
  Reader(const std::string& path, const std::string& operation)
      : path_(path), operation_(operation) {
    bus_factor(operation, 2);  // throws when unknown
  }

  std::map<std::string, SampleTable> read() {
    std::ifstream file(path_);
    if (!file) {
      throw InputError(SourceMark{path_, 0, 0}, "", "cannot read this file");
    }
    for (std::string line; std::getline(file, line);) {
      ++line_;
      const std::vector<std::string> fields = words(line);
      if (!fields.empty()) {
        fields.front().front() == '#' ? comment(fields) : row(fields);
      }
    }
    if (tables_.empty()) {
      fail("no rows; expected the output of an nccl-tests program");
    }
    return std::move(tables_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(SourceMark{path_, line_, 0}, "", message);
  }

  // "#  Rank  0 Group  0 Pid ... device  0 [0x07] NVIDIA H100 80GB HBM3" and the column names.
  void comment(std::vector<std::string> fields) {
    if (fields.front() == "#") {
      fields.erase(fields.begin());
    } else {
      fields.front().erase(0, 1);
    }
    if (!fields.empty() && fields.front() == "Rank") {
      ++ranks_;
      const auto bracket = std::find_if(fields.begin(), fields.end(), [](const std::string& word) {
        return word.starts_with("[");
      });
      if (bracket != fields.end()) {
        device_ = fmt::format("{}", fmt::join(bracket + 1, fields.end(), " "));
      }
    }
    if (!fields.empty() && fields.front() == "size") {
      columns_ = fields;
    }
    if (!fields.empty() && fields.front() == "(B)" &&
        std::find(fields.begin(), fields.end(), "(us)") == fields.end()) {
      fail("times are not in microseconds");
    }
  }

  std::optional<std::size_t> column(std::string_view name) const {
    const auto it = std::find(columns_.begin(), columns_.end(), name);
    return it == columns_.end() ? std::nullopt : std::optional<std::size_t>(it - columns_.begin());
  }

  double number(const std::vector<std::string>& fields, std::string_view name) const {
    const auto at = column(name);
    double value = 0;
    if (!at || *at >= fields.size()) {
      fail(fmt::format("no column {}", name));
    }
    const std::string& text = fields[*at];
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
        value < 0) {
      fail(fmt::format("{}: \"{}\" is not a number", name, text));
    }
    return value;
  }

  const Type& type(const std::vector<std::string>& fields) const {
    const auto at = column("type");
    for (const Type& known : kTypes) {
      if (at && *at < fields.size() && fields[*at] == known.name) {
        return known;
      }
    }
    fail(fmt::format("unknown type \"{}\"", at && *at < fields.size() ? fields[*at] : ""));
  }

  void row(const std::vector<std::string>& fields) {
    if (columns_.empty() || ranks_ < 2) {
      fail("a row before the list of ranks and the names of the columns");
    }
    const double bytes = number(fields, "size");
    const double seconds = 1e-6 * number(fields, "time");
    const Type& element = type(fields);
    if (seconds <= 0 || bytes <= 0) {
      return;  // sizes below one element a rank are printed as zero
    }
    check_size(bytes, number(fields, "count") * element.bytes);
    check_bandwidth(bytes, seconds, number(fields, "algbw"), number(fields, "busbw"));
    if (const auto wrong = column("#wrong");
        wrong && *wrong < fields.size() && fields[*wrong] != "0" && fields[*wrong] != "N/A") {
      fail(fmt::format("{} wrong values: this run computed nonsense", fields[*wrong]));
    }
    SampleTable& table = tables_[fmt::format("{}.{}", operation_, element.format)];
    table.provenance = Provenance::imported;
    table.source = fmt::format("nccl-tests, {} ranks, {}: {}", ranks_,
                               device_.empty() ? "unknown device" : device_, path_);
    table.samples.push_back({{ranks_, std::llround(bytes)}, seconds});
  }

  // `count` is per rank for some operations and the full vector for others.
  void check_size(double bytes, double counted) const {
    if (bytes != counted && bytes != counted * ranks_) {
      fail(fmt::format("size {} is not what count and type make ({} bytes)", bytes, counted));
    }
  }

  // Printed with two decimals: 0.005 GB/s of rounding, and time with about four digits.
  void check_bandwidth(double bytes, double seconds, double algorithm, double bus) const {
    const double expected = bytes / seconds / 1e9;
    if (std::abs(algorithm - expected) > 0.006 + 0.005 * expected) {
      fail(fmt::format("algbw {} GB/s is not size over time ({:.2f}): is the time in us?",
                       algorithm, expected));
    }
    const double factor = bus_factor(operation_, ranks_);
    if (std::abs(bus - expected * factor) > 0.006 + 0.01 * expected * factor) {
      fail(fmt::format("busbw {} GB/s is not that of {} on {} ranks ({:.2f})", bus, operation_,
                       ranks_, expected * factor));
    }
  }

  const std::string& path_;
  const std::string& operation_;
  int line_ = 0;
  int ranks_ = 0;
  std::string device_;
  std::vector<std::string> columns_;
  std::map<std::string, SampleTable> tables_;
};

}  // namespace

std::map<std::string, SampleTable> read_nccl_tests(const std::string& path,
                                                   const std::string& operation) {
  return Reader(path, operation).read();
}

}  // namespace foretoken::importer
