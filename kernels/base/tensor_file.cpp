#include "kernels/base/tensor_file.h"

#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/base/float_types.h"

namespace foretoken::kernels {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  std::string message = path;
  message.append(": ").append(why);
  throw KernelError(message);
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    refuse(path, "cannot be opened");
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

enum class Element { fp16, bf16, fp32, fp64 };

std::size_t size_of(Element element) {
  return element == Element::fp64 ? 8 : element == Element::fp32 ? 4 : 2;
}

template <typename T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

float to_fp32(Element element, const char* from) {
  switch (element) {
    case Element::fp16:
      return to_float(Fp16{load<std::uint16_t>(from)});
    case Element::bf16:
      return to_float(Bf16{load<std::uint16_t>(from)});
    case Element::fp32:
      return load<float>(from);
    case Element::fp64:
      return static_cast<float>(load<double>(from));
  }
  return 0;
}

std::size_t element_count(const std::string& path, const std::vector<std::int64_t>& shape,
                          std::size_t available) {
  std::size_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || (extent != 0 && count > available / static_cast<std::size_t>(extent))) {
      refuse(path, "is shorter than its shape says");
    }
    count *= static_cast<std::size_t>(extent);
  }
  return count;
}

Tensor decode(const std::string& path, Element element, std::vector<std::int64_t> shape,
              std::string_view bytes) {
  const std::size_t size = size_of(element);
  const std::size_t count = element_count(path, shape, bytes.size() / size);
  if (count > bytes.size() / size) {
    refuse(path, "is shorter than its shape says");
  }
  Tensor tensor{std::move(shape), std::vector<float>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    tensor.values[i] = to_fp32(element, bytes.data() + i * size);
  }
  return tensor;
}

// ---- .npy: a Python dictionary as text, then the elements
// -----------------------------------------

std::string_view after(const std::string& path, std::string_view header, std::string_view key) {
  const auto at = header.find(key);
  if (at == std::string_view::npos) {
    refuse(path, "has no " + std::string(key) + " in its .npy header");
  }
  header.remove_prefix(at + key.size());
  header.remove_prefix(std::min(header.find_first_not_of(" :"), header.size()));
  return header;
}

std::vector<std::int64_t> parse_shape(const std::string& path, std::string_view text) {
  std::vector<std::int64_t> shape;
  text = text.substr(0, text.find(')'));
  const char* p = text.data();
  const char* end = p + text.size();
  while (p != end) {
    if (*p < '0' || *p > '9') {
      ++p;
      continue;
    }
    std::int64_t extent = 0;
    const auto [next, code] = std::from_chars(p, end, extent);
    if (code != std::errc()) {
      refuse(path, "has a shape that cannot be read");
    }
    shape.push_back(extent);
    p = next;
  }
  return shape;
}

Tensor read_npy(const std::string& path, std::string_view file) {
  if (file.size() < 12) {
    refuse(path, "is too short for a .npy file");
  }
  const bool wide = file[6] >= 2;  // format 1.0 has a 2-byte header length
  const std::size_t start = wide ? 12 : 10;
  const std::size_t length =
      wide ? load<std::uint32_t>(file.data() + 8) : load<std::uint16_t>(file.data() + 8);
  if (file.size() - start < length) {
    refuse(path, "is too short for its .npy header");
  }
  const std::string_view header = file.substr(start, length);
  if (after(path, header, "'fortran_order'").starts_with("True")) {
    refuse(path, "is in Fortran order; save it with numpy.ascontiguousarray");
  }
  const std::string_view type = after(path, header, "'descr'");
  Element element{};
  if (type.starts_with("'<f4'")) {
    element = Element::fp32;
  } else if (type.starts_with("'<f2'")) {
    element = Element::fp16;
  } else if (type.starts_with("'<f8'")) {
    element = Element::fp64;
  } else {
    refuse(path, "is not of type f2, f4 or f8");
  }
  return decode(path, element, parse_shape(path, after(path, header, "'shape'")),
                file.substr(start + length));
}

// ---- .safetensors: the length of a JSON table, the table, the elements
// ----------------------------

std::string names_in(const nlohmann::json& table) {
  std::string names;
  for (const auto& [key, value] : table.items()) {
    if (key != "__metadata__") {
      names += (names.empty() ? "" : ", ") + key;
    }
  }
  return names;
}

std::string only_name(const std::string& path, const nlohmann::json& table) {
  std::string found;
  for (const auto& [key, value] : table.items()) {
    if (key != "__metadata__") {
      if (!found.empty()) {
        refuse(path, "holds several tensors; name one of " + names_in(table));
      }
      found = key;
    }
  }
  return found;
}

Element parse_dtype(const std::string& path, const std::string& dtype) {
  if (dtype == "F32") {
    return Element::fp32;
  }
  if (dtype == "BF16") {
    return Element::bf16;
  }
  if (dtype == "F16") {
    return Element::fp16;
  }
  if (dtype == "F64") {
    return Element::fp64;
  }
  refuse(path, "holds " + dtype + "; F16, BF16, F32 and F64 can be read");
}

Tensor read_safetensors(const std::string& path, std::string_view file, const std::string& name) {
  if (file.size() < 8 || load<std::uint64_t>(file.data()) > file.size() - 8) {
    refuse(path, "is too short for a .safetensors file");
  }
  const std::size_t length = load<std::uint64_t>(file.data());
  try {
    const auto table = nlohmann::json::parse(file.substr(8, length));
    const std::string wanted = name.empty() ? only_name(path, table) : name;
    if (!table.contains(wanted)) {
      refuse(path, "holds no tensor \"" + wanted + "\"; it has " + names_in(table));
    }
    const auto& entry = table.at(wanted);
    const auto offsets = entry.at("data_offsets").get<std::vector<std::size_t>>();
    const std::string_view data = file.substr(8 + length);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size()) {
      refuse(path, "has offsets outside of the file");
    }
    return decode(path, parse_dtype(path, entry.at("dtype").get<std::string>()),
                  entry.at("shape").get<std::vector<std::int64_t>>(),
                  data.substr(offsets[0], offsets[1] - offsets[0]));
  } catch (const nlohmann::json::exception& e) {
    refuse(path, std::string("has a .safetensors table that cannot be read: ") + e.what());
  }
}

}  // namespace

Tensor read_tensor(const std::string& path, const std::string& name) {
  const std::string file = read_all(path);
  if (std::string_view(file).starts_with("\x93NUMPY")) {
    return read_npy(path, file);
  }
  if (path.ends_with(".safetensors")) {
    return read_safetensors(path, file, name);
  }
  refuse(path, "is neither a .npy nor a .safetensors file");
}

}  // namespace foretoken::kernels
