#include <string>

#include "sim/config/scenario_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    foretoken::config::parse_scenario(
        foretoken::config::parse_document(std::string(reinterpret_cast<const char*>(data), size),
                                          "fuzz.yaml"),
        "fuzz.yaml");
  } catch (const foretoken::InputError&) {
  }
  return 0;
}
