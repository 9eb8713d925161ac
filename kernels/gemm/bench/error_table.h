// gemm_bench --error: SNR of every format on synthetic data or on a user's tensor.
#pragma once

#include <string>

namespace foretoken::kernels {

struct ErrorTableOptions {
  std::string safetensors;  // weights from this file instead of N(0, 1)
  std::string tensor;       // all two-dimensional ones when empty
  bool search_clipping = false;
};
void print_error_table(const ErrorTableOptions& options);

}  // namespace foretoken::kernels
