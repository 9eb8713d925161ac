// Reads one floating-point tensor from a NumPy .npy or a .safetensors file, as fp32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::kernels {

struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// .npy: little-endian f2, f4 or f8 in C order. .safetensors: F16, BF16, F32 or F64; `name` picks
// the tensor and may be empty where there is only one. Throws KernelError, one line with the file's
// name.
Tensor read_tensor(const std::string& path, const std::string& name = "");

}  // namespace foretoken::kernels
