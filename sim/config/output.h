// Where results go.
#pragma once

#include <string>

namespace foretoken::config {

// Writes atomically (a temporary file beside it, then rename); "-" is standard output. Throws
// InputError when it cannot.
void write_output(const std::string& path, const std::string& text);

}  // namespace foretoken::config
