#include <fmt/format.h>

#include "kernels/codec/bench/tables.h"

namespace foretoken::kernels {

void print_cuda_table() { fmt::print("SKIPPED: codec_bench was built without CUDA\n"); }

void register_cuda_rows() {}

bool print_cuda_device() {
  fmt::print("codec_bench was built without CUDA\n");
  return false;
}

}  // namespace foretoken::kernels
