#include "sim/config/trace_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/config/document.h"
#include "sim/config/text_lines.h"

namespace foretoken::config {
namespace {

constexpr std::int64_t kMaxTokens = 100'000'000;

struct Columns {
  int arrival = -1;
  bool wall_clock = false;
  int input = -1;
  int output = -1;
  int count = 0;
};

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> cells;
  while (true) {
    const auto comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) {
      return cells;
    }
    line.remove_prefix(comma + 1);
  }
}

Columns read_header(std::string_view line, const SourceMark& mark) {
  Columns columns;
  const auto cells = split(line);
  columns.count = static_cast<int>(cells.size());
  for (int i = 0; i < columns.count; ++i) {
    const std::string_view cell = cells[static_cast<std::size_t>(i)];
    if (cell == "TIMESTAMP" || cell == "arrival_s") {
      columns.arrival = i;
      columns.wall_clock = cell == "TIMESTAMP";
    } else if (cell == "ContextTokens" || cell == "input_tokens" || cell == "num_prefill_tokens") {
      columns.input = i;
    } else if (cell == "GeneratedTokens" || cell == "output_tokens" ||
               cell == "num_decode_tokens") {
      columns.output = i;
    }
  }
  if (columns.input < 0 || columns.output < 0) {
    throw InputError(mark, "",
                     fmt::format("not a trace header: \"{}\" (known: "
                                 "TIMESTAMP,ContextTokens,GeneratedTokens; "
                                 "arrival_s,input_tokens,output_tokens; Mooncake JSON lines)",
                                 line.substr(0, 60)));
  }
  return columns;
}

std::int64_t read_tokens(std::string_view cell, const SourceMark& mark, std::string_view what) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (code != std::errc() || end != cell.data() + cell.size() || value < 0 || value > kMaxTokens) {
    throw InputError(
        mark, "",
        fmt::format("{} is \"{}\", not a number of tokens; mend or remove the line", what, cell));
  }
  return value;
}

double read_seconds(std::string_view cell, const SourceMark& mark) {
  double value = 0;
  const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  // A hundred days is the range of the clock.
  if (code != std::errc() || end != cell.data() + cell.size() || !(value >= 0 && value < 8.64e6)) {
    throw InputError(mark, "",
                     fmt::format("arrival is \"{}\", not seconds between 0 and 8.64e6; mend or "
                                 "remove the line",
                                 cell));
  }
  return value;
}

// "2023-11-16 18:15:46.6805900" as microseconds since 2000: picoseconds would not fit.
std::int64_t read_wall_clock(std::string_view cell, const SourceMark& mark) {
  std::array<int, 6> field{};
  const char* position = cell.data();
  const char* const end = cell.data() + cell.size();
  constexpr std::string_view separators = "--T:: ";
  bool good = true;
  for (std::size_t i = 0; i < field.size() && good; ++i) {
    const auto [next, code] = std::from_chars(position, end, field[i]);
    good = code == std::errc();
    position = next;
    if (good && i + 1 < field.size()) {
      good = position != end && (*position == separators[i] || (i == 2 && *position == ' '));
      ++position;
    }
  }
  double fraction = 0;
  if (good && position != end && *position == '.') {
    const std::string digits = "0" + std::string(position, end);
    const auto [next, code] =
        std::from_chars(digits.data(), digits.data() + digits.size(), fraction);
    good = code == std::errc() && next == digits.data() + digits.size();
    position = end;
  }
  const std::chrono::year_month_day day{std::chrono::year(field[0]),
                                        std::chrono::month(static_cast<unsigned>(field[1])),
                                        std::chrono::day(static_cast<unsigned>(field[2]))};
  if (!good || position != end || !day.ok() || field[3] > 23 || field[4] > 59 || field[5] > 60) {
    throw InputError(mark, "",
                     fmt::format("timestamp \"{}\" is not like 2023-11-16 18:15:46.68", cell));
  }
  const std::chrono::sys_days epoch(std::chrono::year(2000) / 1 / 1);
  const auto seconds = (std::chrono::sys_days(day) - epoch).count() * 86400LL + field[3] * 3600 +
                       field[4] * 60 + field[5];
  return seconds * 1'000'000 + static_cast<std::int64_t>(std::llround(fraction * 1e6));
}

Trace parse_csv(std::string_view text, const std::string& file) {
  Trace trace;
  TextLines lines(text);
  std::string_view line;
  lines.next(line);
  const Columns columns = read_header(line, {file, lines.number(), 0});
  trace.has_arrivals = columns.arrival >= 0;
  std::int64_t first_micros = -1;
  while (lines.next(line)) {
    const SourceMark mark{file, lines.number(), 0};
    const auto cells = split(line);
    if (static_cast<int>(cells.size()) != columns.count) {
      throw InputError(mark, "",
                       fmt::format("{} columns where the header has {}; mend or remove the line",
                                   cells.size(), columns.count));
    }
    Request request;
    request.input_tokens =
        read_tokens(cells[static_cast<std::size_t>(columns.input)], mark, "input");
    request.output_tokens =
        read_tokens(cells[static_cast<std::size_t>(columns.output)], mark, "output");
    if (columns.arrival >= 0) {
      const std::string_view cell = cells[static_cast<std::size_t>(columns.arrival)];
      if (columns.wall_clock) {
        const std::int64_t micros = read_wall_clock(cell, mark);
        first_micros = first_micros < 0 ? micros : first_micros;
        const std::int64_t relative = micros - first_micros;
        if (relative < 0 || relative > 8'640'000'000'000) {
          throw InputError(mark, "", "timestamp before the first or 100 days after it");
        }
        request.arrival = Time(relative * 1'000'000);
      } else {
        request.arrival = time_from_seconds(read_seconds(cell, mark));
      }
    }
    trace.requests.push_back(request);
  }
  return trace;
}

Trace parse_json_lines(std::string_view text, const std::string& file) {
  Trace trace;
  trace.has_arrivals = true;
  TextLines lines(text);
  std::string_view line;
  while (lines.next(line)) {
    const SourceMark mark{file, lines.number(), 0};
    const auto json = nlohmann::json::parse(line, nullptr, false);
    const auto number = [&](const char* key) -> std::int64_t {
      if (!json.is_object() || !json.contains(key) || !json[key].is_number()) {
        throw InputError(mark, "",
                         fmt::format("no number \"{}\" in this line; a Mooncake line has timestamp "
                                     "(ms), input_length and output_length",
                                     key));
      }
      const double value = json[key].get<double>();
      if (!(value >= 0 && value < 8.64e9)) {
        throw InputError(mark, "", fmt::format("{} is {}, out of range", key, value));
      }
      return static_cast<std::int64_t>(value);
    };
    Request request;
    request.arrival = Time(number("timestamp") * 1'000'000'000);
    request.input_tokens = number("input_length");
    request.output_tokens = number("output_length");
    trace.requests.push_back(request);
  }
  return trace;
}

}  // namespace

Trace parse_trace(std::string_view text, const std::string& file) {
  TextLines lines(text);
  std::string_view first;
  if (!lines.next(first)) {
    throw InputError(SourceMark{file, 0, 0}, "", "the trace is empty");
  }
  Trace trace = first.front() == '{' ? parse_json_lines(text, file) : parse_csv(text, file);
  if (trace.requests.empty()) {
    throw InputError(SourceMark{file, 0, 0}, "", "the trace has a header but no requests");
  }
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const Request& a, const Request& b) { return a.arrival < b.arrival; });
  const Time first_arrival = trace.requests.front().arrival;
  for (Request& request : trace.requests) {
    request.arrival -= first_arrival;
  }
  return trace;
}

Trace read_trace(const std::string& path) { return parse_trace(read_text_file(path), path); }

}  // namespace foretoken::config
