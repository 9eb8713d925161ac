#include "sim/config/cluster_reader.h"
#include "sim/core/error.h"
#include "tests/fuzz/temporary_file.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const TemporaryFile file("fuzz.yaml");
  try {
    foretoken::config::read_cluster(file.write(data, size));
  } catch (const foretoken::InputError&) {
  }
  return 0;
}
