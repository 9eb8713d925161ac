// The lines of a text one by one, with their numbers; empty lines and comments (#) are left out.
#pragma once

#include <string_view>

namespace foretoken::config {

class TextLines {
 public:
  explicit TextLines(std::string_view text) : rest_(text) {}

  // False at the end.
  bool next(std::string_view& line) {
    while (!rest_.empty()) {
      const auto end = rest_.find('\n');
      ended_ = end != std::string_view::npos;
      line = rest_.substr(0, end);
      rest_.remove_prefix(ended_ ? end + 1 : rest_.size());
      ++number_;
      if (line.ends_with('\r')) {
        line.remove_suffix(1);
      }
      if (!line.empty() && line.front() != '#') {
        return true;
      }
    }
    return false;
  }
  int number() const { return number_; }
  // Whether the line last read was ended by a newline; a file cut short leaves one that is not.
  bool ended() const { return ended_; }

 private:
  std::string_view rest_;
  int number_ = 0;
  bool ended_ = true;
};

}  // namespace foretoken::config
