// Any bytes are either a document or an InputError; what is a document has the same canonical text
// when it is read twice.
#include <cstdlib>
#include <string>

#include "sim/config/document.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto root = foretoken::config::parse_document(text, "fuzz");
    const auto again = foretoken::config::parse_document(text, "fuzz");
    if (foretoken::config::canonical_text(*root) != foretoken::config::canonical_text(*again)) {
      std::abort();
    }
  } catch (const foretoken::InputError&) {
  }
  return 0;
}
