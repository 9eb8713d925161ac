// A profile that is accepted is written and read back with the same numbers.
#include <cstdlib>

#include "sim/config/profile_reader.h"
#include "sim/core/error.h"
#include "tests/fuzz/temporary_file.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const TemporaryFile file("fuzz.yaml");
  static const TemporaryFile copy("copy.yaml");
  try {
    const foretoken::Profile profile = foretoken::config::read_profile(file.write(data, size));
    if (!profile.samples.empty()) {
      return 0;
    }
    const std::string text = foretoken::config::write_profile(profile, "copy");
    const foretoken::Profile again = foretoken::config::read_profile(
        copy.write(reinterpret_cast<const unsigned char*>(text.data()), text.size()));
    if (again.parameters.size() != profile.parameters.size()) {
      std::abort();
    }
    for (const auto& [key, parameter] : profile.parameters) {
      const auto* other = again.find(key);
      if (other == nullptr || other->value != parameter.value) {
        std::abort();
      }
    }
  } catch (const foretoken::InputError&) {
  }
  return 0;
}
