// Errors. A user's mistake throws InputError: one line, naming file, line and remedy, exit
// status 2. A bug fails FT_CHECK, which throws InternalError: exit status 1. Libraries never exit.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace foretoken {

// Where in the user's input something stands. Line and column count from 1; 0 means unknown.
struct SourceMark {
  std::string file;
  int line = 0;
  int column = 0;
};

std::string to_string(const SourceMark& mark);  // "scenarios/a.yaml:12:9"

class InputError : public std::runtime_error {
 public:
  explicit InputError(const std::string& message) : std::runtime_error(message) {}
  // "file:line:column: key.path: message"; an empty key path is left out.
  InputError(const SourceMark& mark, const std::string& key_path, const std::string& message);
};

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               const std::string& message);

// Stays on in release builds: a wrong number is worse than a slow one.
#define FT_CHECK(expression, ...)                                                                \
  do {                                                                                           \
    if (!(expression)) [[unlikely]] {                                                            \
      ::foretoken::check_failed(#expression, __FILE__, __LINE__, ::fmt::format("" __VA_ARGS__)); \
    }                                                                                            \
  } while (false)

}  // namespace foretoken
