// Reads tensors from a .safetensors file: an 8-byte little-endian header length, a JSON header with
// type, shape and byte range of every tensor, then the data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace foretoken::kernels {

struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;  // row-major
};

class SafetensorsFile {
 public:
  // Throws KernelError, naming the file, when it cannot be read or is not what it claims to be.
  explicit SafetensorsFile(const std::string& path);

  std::vector<std::string> names() const;
  // F32, F16, BF16 and F8_E4M3 tensors, widened to fp32. Throws KernelError for an unknown name or
  // type.
  Tensor read(const std::string& name) const;

 private:
  struct Entry {
    std::string type;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0, end = 0;  // in the file
  };
  std::string path_;
  std::map<std::string, Entry> entries_;
};

}  // namespace foretoken::kernels
