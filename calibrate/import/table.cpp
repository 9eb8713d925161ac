#include "calibrate/import/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>

#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

std::string read_file(const std::string& path) {
  if (path.ends_with(".parquet")) {
    throw InputError(SourceMark{path, 0, 0}, "",
                     fmt::format("a Parquet file; convert it with: python3 -c \"import "
                                 "pyarrow.parquet as p, pyarrow.csv as c; "
                                 "c.write_csv(p.read_table('{}'), '{}csv')\"",
                                 path, path.substr(0, path.size() - 7)));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw InputError(SourceMark{path, 0, 0}, "", "cannot read this file");
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

void split(std::string_view line, std::vector<std::string_view>& fields) {
  fields.clear();
  while (true) {
    const auto comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) {
      return;
    }
    line.remove_prefix(comma + 1);
  }
}

// Lines without their ends, with numbers.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  bool next(std::string_view& line) {
    if (rest_.empty()) {
      return false;
    }
    ++number_;
    const auto end = rest_.find('\n');
    line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    return true;
  }
  int number() const { return number_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

// Reads comments and header. Leaves `lines` at the first row.
Table read_top(Lines& lines, const std::string& path) {
  constexpr std::string_view kSource = "# source: ";
  Table table;
  table.file = path;
  for (std::string_view line; lines.next(line);) {
    if (line.starts_with(kSource) && table.source.empty()) {
      table.source = std::string(line.substr(kSource.size()));
    }
    if (!line.empty() && line.front() != '#') {
      std::vector<std::string_view> fields;
      split(line, fields);
      table.header.assign(fields.begin(), fields.end());
      return table;
    }
  }
  throw InputError(SourceMark{path, 1, 0}, "", "no header; expected a CSV with one");
}

}  // namespace

void TableRow::fail(int column, const std::string& message) const {
  throw InputError(SourceMark{file_, line_, 0}, header_[static_cast<std::size_t>(column)], message);
}

std::int64_t TableRow::count(int column) const {
  const std::string_view field = text(column);
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (code != std::errc() || end != field.data() + field.size() || value < 0) {
    fail(column, fmt::format("\"{}\" is not a whole number", field));
  }
  return value;
}

double TableRow::positive(int column) const {
  const std::string_view field = text(column);
  double value = 0;
  const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (code != std::errc() || end != field.data() + field.size() || !std::isfinite(value) ||
      value <= 0) {
    fail(column, fmt::format("\"{}\" is not a positive number", field));
  }
  return value;
}

void read_table(const std::string& path, const std::function<void(const Table&)>& on_header,
                const std::function<void(const TableRow&)>& on_row) {
  const std::string text = read_file(path);
  Lines lines(text);
  const Table table = read_top(lines, path);
  on_header(table);
  std::vector<std::string_view> fields;
  for (std::string_view line; lines.next(line);) {
    if (line.empty() || line.front() == '#') {
      continue;
    }
    split(line, fields);
    if (fields.size() != table.header.size()) {
      throw InputError(
          SourceMark{path, lines.number(), 0}, "",
          fmt::format("{} fields where the header has {}", fields.size(), table.header.size()));
    }
    on_row(TableRow(path, lines.number(), table.header, fields));
  }
}

Table read_table_header(const std::string& path) {
  const std::string text = read_file(path);
  Lines lines(text);
  return read_top(lines, path);
}

void expect_columns(const Table& table, const std::vector<std::string>& columns) {
  if (table.header != columns) {
    throw InputError(SourceMark{table.file, 0, 0}, "",
                     fmt::format("expected the columns {}; found {}", fmt::join(columns, ","),
                                 fmt::join(table.header, ",")));
  }
}

}  // namespace foretoken::importer
