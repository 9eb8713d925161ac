#include "kernels/gemm/safetensors.h"

#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/base/error.h"
#include "kernels/base/float_types.h"

namespace foretoken::kernels {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw KernelError(fmt::format("{}: {}", path, what));
}

std::size_t type_bytes(const std::string& type) {
  return type == "F32" ? 4 : type == "F16" || type == "BF16" ? 2 : type == "F8_E4M3" ? 1 : 0;
}

float value_at(const std::string& type, const char* bytes) {
  if (type == "F32") {
    float value;
    std::memcpy(&value, bytes, 4);
    return value;
  }
  if (type == "F8_E4M3") {
    return to_float(Fp8E4m3{static_cast<std::uint8_t>(*bytes)});
  }
  std::uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  return type == "F16" ? to_float(Fp16{bits}) : to_float(Bf16{bits});
}

// Values that a shape holds, or -1 when it is negative or absurd.
std::int64_t count_of(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, extent, &count)) {
      return -1;
    }
  }
  return count;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  std::ifstream file(path, std::ios::binary);
  std::error_code missing;
  const std::uint64_t size = std::filesystem::file_size(path, missing);
  std::uint64_t header_bytes = 0;
  if (!file || missing || !file.read(reinterpret_cast<char*>(&header_bytes), 8)) {
    fail(path, "cannot be read as a .safetensors file");
  }
  if (header_bytes > size - 8) {
    fail(path, "is not a .safetensors file (its header would be longer than the file)");
  }
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  try {
    const nlohmann::json tensors = nlohmann::json::parse(header);
    for (const auto& [name, value] : tensors.items()) {
      if (name == "__metadata__") {
        continue;
      }
      Entry entry;
      entry.type = value.at("dtype").get<std::string>();
      entry.shape = value.at("shape").get<std::vector<std::int64_t>>();
      const auto offsets = value.at("data_offsets").get<std::vector<std::uint64_t>>();
      const std::uint64_t data = 8 + header_bytes;
      if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > size - data) {
        fail(path, "tensor \"" + name + "\" lies outside the file");
      }
      entry.begin = data + offsets[0];
      entry.end = data + offsets[1];
      entries_.emplace(name, entry);
    }
  } catch (const nlohmann::json::exception& error) {
    fail(path, std::string("its header is not valid: ") + error.what());
  }
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    names.push_back(name);
  }
  return names;
}

Tensor SafetensorsFile::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail(path_, fmt::format("has no tensor \"{}\" ({} tensors, first \"{}\")", name,
                            entries_.size(), entries_.empty() ? "" : entries_.begin()->first));
  }
  const Entry& entry = found->second;
  const std::size_t width = type_bytes(entry.type);
  if (width == 0) {
    fail(path_, fmt::format("tensor \"{}\" has type {} (F32, F16, BF16 and F8_E4M3 are read)", name,
                            entry.type));
  }
  const std::int64_t count = count_of(entry.shape);
  if (count < 0 || static_cast<std::uint64_t>(count) > (entry.end - entry.begin) / width ||
      static_cast<std::uint64_t>(count) * width != entry.end - entry.begin) {
    fail(path_, fmt::format("tensor \"{}\": its bytes do not match its shape", name));
  }
  std::vector<char> bytes(entry.end - entry.begin);
  std::ifstream file(path_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(entry.begin));
  if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    fail(path_, "ends early");
  }
  Tensor tensor{entry.shape, {}};
  tensor.values.reserve(static_cast<std::size_t>(count));
  for (std::size_t at = 0; at < bytes.size(); at += width) {
    tensor.values.push_back(value_at(entry.type, bytes.data() + at));
  }
  return tensor;
}

}  // namespace foretoken::kernels
