// A CSV of somebody else's measurements: lines that begin with # are comments (the first one names
// the source), then a header, then rows. Fields are not quoted.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace foretoken::importer {

// One row. Messages carry file and line.
class TableRow {
 public:
  TableRow(const std::string& file, int line, const std::vector<std::string>& header,
           const std::vector<std::string_view>& fields)
      : file_(file), line_(line), header_(header), fields_(fields) {}
  std::string_view text(int column) const { return fields_[static_cast<std::size_t>(column)]; }
  std::int64_t count(int column) const;  // throws unless a whole number >= 0
  double positive(int column) const;     // throws unless finite and > 0
  [[noreturn]] void fail(int column, const std::string& message) const;

 private:
  const std::string& file_;
  int line_;
  const std::vector<std::string>& header_;
  const std::vector<std::string_view>& fields_;
};

struct Table {
  std::string file;
  std::string source;  // of the comment "# source: ...", without it; empty when there is none
  std::vector<std::string> header;
};

// Calls `on_row` for each row. `on_header` sees the table first, and throws when it is not what the
// caller reads. Throws InputError with file and line: no such file, no header, a row with too few
// or too many fields; a .parquet file gets the line that converts it.
void read_table(const std::string& path, const std::function<void(const Table&)>& on_header,
                const std::function<void(const TableRow&)>& on_row);

// The header alone, to recognise a file by.
Table read_table_header(const std::string& path);

// "a.csv:2: expected the columns m,n,k; found x,y": for on_header.
void expect_columns(const Table& table, const std::vector<std::string>& columns);

}  // namespace foretoken::importer
