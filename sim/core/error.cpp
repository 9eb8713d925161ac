#include "sim/core/error.h"

namespace foretoken {
namespace {

std::string compose(const SourceMark& mark, const std::string& key_path,
                    const std::string& message) {
  std::string text = to_string(mark);
  if (!text.empty()) {
    text += ": ";
  }
  if (!key_path.empty()) {
    text += key_path + ": ";
  }
  text += message;
  // A message quotes what the user wrote, and stays one line whatever that was.
  for (char& c : text) {
    const auto code = static_cast<unsigned char>(c);
    c = code < 0x20 || code == 0x7f ? '?' : c;
  }
  return text;
}

}  // namespace

std::string to_string(const SourceMark& mark) {
  if (mark.line <= 0) {
    return mark.file;
  }
  if (mark.column <= 0) {
    return fmt::format("{}:{}", mark.file, mark.line);
  }
  return fmt::format("{}:{}:{}", mark.file, mark.line, mark.column);
}

InputError::InputError(const SourceMark& mark, const std::string& key_path,
                       const std::string& message)
    : std::runtime_error(compose(mark, key_path, message)) {}

void check_failed(const char* expression, const char* file, int line, const std::string& message) {
  throw InternalError(fmt::format("{}:{}: internal check failed: {}{}{}", file, line, expression,
                                  message.empty() ? "" : ": ", message));
}

}  // namespace foretoken
