// A trace that is accepted is ordered, starts at zero and has no negative length.
#include <cstdlib>
#include <string>

#include "sim/config/trace_reader.h"
#include "sim/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    const auto trace = foretoken::config::parse_trace(
        std::string(reinterpret_cast<const char*>(data), size), "fuzz.csv");
    foretoken::Time last = foretoken::kTimeZero;
    for (const foretoken::Request& request : trace.requests) {
      if (request.arrival < last || request.input_tokens < 0 || request.output_tokens < 0) {
        std::abort();
      }
      last = request.arrival;
    }
  } catch (const foretoken::InputError&) {
  }
  return 0;
}
