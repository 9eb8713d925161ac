// Other people's measurements as CSV: lines that start with # are remarks, the first other line
// names the columns.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace foretoken::calibrate {

class CsvTable {
 public:
  // Throws InputError with file and line when the file cannot be read, a column of `required` is
  // missing or a line has another number of fields than the header.
  CsvTable(const std::string& path, const std::vector<std::string_view>& required);

  std::size_t rows() const { return rows_.size(); }
  bool has(std::string_view column) const { return columns_.find(column) != columns_.end(); }
  // Empty when the column is absent.
  std::string_view text(std::size_t row, std::string_view column) const;
  // Throws InputError with file, line and column when the field is not a number.
  double number(std::size_t row, std::string_view column) const;
  std::int64_t integer(std::size_t row, std::string_view column) const;
  bool empty(std::size_t row, std::string_view column) const { return text(row, column).empty(); }
  const std::string& remark() const { return remark_; }  // the first # line, without the #

 private:
  std::string path_, content_, remark_;
  std::map<std::string, std::size_t, std::less<>> columns_;
  struct Row {
    int line;
    std::vector<std::string_view> fields;
  };
  std::vector<Row> rows_;
};

}  // namespace foretoken::calibrate
