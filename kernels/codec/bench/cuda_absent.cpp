#include <fmt/format.h>

#include "kernels/codec/bench/tables.h"

namespace foretoken::kernels {

void print_cuda_table() { fmt::print("SKIPPED: codec_bench was built without CUDA\n"); }

void register_cuda_rows() {}

}  // namespace foretoken::kernels
