#include "calibrate/import/csv_table.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

// Fields may stand in double quotes; a quote inside a field is not expected.
std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    if (!line.empty() && line.front() == '"') {
      const auto end = line.find('"', 1);
      fields.push_back(line.substr(1, end == std::string_view::npos ? end : end - 1));
      line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
      if (line.empty()) {
        return fields;
      }
      line.remove_prefix(1);
      continue;
    }
    const auto comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) {
      return fields;
    }
    line.remove_prefix(comma + 1);
  }
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) {
    throw InputError(SourceMark{path, 0, 0}, "", "cannot read this file; check the path");
  }
  return text.str();
}

}  // namespace

CsvTable::CsvTable(const std::string& path, const std::vector<std::string_view>& required)
    : path_(path), content_(read_file(path)) {
  int number = 0;
  std::string_view rest = content_;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    ++number;
    if (!line.empty() && line.back() == '\r') {
      line.remove_suffix(1);
    }
    if (line.empty()) {
      continue;
    }
    if (line.front() == '#') {
      remark_ = remark_.empty() ? std::string(line.substr(1)) : remark_;
      continue;
    }
    std::vector<std::string_view> fields = split(line);
    if (columns_.empty()) {
      for (std::size_t i = 0; i < fields.size(); ++i) {
        columns_.emplace(fields[i], i);
      }
      continue;
    }
    if (fields.size() != columns_.size()) {
      throw InputError(SourceMark{path_, number, 1}, "",
                       fmt::format("{} fields, the header names {}; the file may be cut",
                                   fields.size(), columns_.size()));
    }
    rows_.push_back({number, std::move(fields)});
  }
  for (const std::string_view column : required) {
    if (!has(column)) {
      throw InputError(SourceMark{path_, 1, 1}, std::string(column),
                       "no such column; this is not the table expected here");
    }
  }
}

std::string_view CsvTable::text(std::size_t row, std::string_view column) const {
  const auto it = columns_.find(column);
  return it == columns_.end() ? std::string_view() : rows_[row].fields[it->second];
}

double CsvTable::number(std::size_t row, std::string_view column) const {
  const std::string_view field = text(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) {
    throw InputError(SourceMark{path_, rows_[row].line, 1}, std::string(column),
                     fmt::format("\"{}\" is not a number", field));
  }
  return value;
}

std::int64_t CsvTable::integer(std::size_t row, std::string_view column) const {
  return std::llround(number(row, column));
}

}  // namespace foretoken::calibrate
