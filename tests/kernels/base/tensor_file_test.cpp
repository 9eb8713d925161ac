#include "kernels/base/tensor_file.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

std::string write_file(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

template <typename T>
std::string raw(std::initializer_list<T> values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.begin(), bytes.size());
  return bytes;
}

std::string npy(const std::string& header, const std::string& data) {
  return std::string("\x93NUMPY\x01\x00", 8) +
         raw<std::uint16_t>({static_cast<std::uint16_t>(header.size())}) + header + data;
}

std::string safetensors(const std::string& table, const std::string& data) {
  return raw<std::uint64_t>({table.size()}) + table + data;
}

std::string message(const std::string& path, const std::string& name = "") {
  try {
    read_tensor(path, name);
  } catch (const KernelError& e) {
    return std::string(e.what()).substr(path.size());
  }
  return "accepted";
}

TEST(TensorFile, Reads_npy_of_every_width) {
  const auto f4 = read_tensor(
      write_file("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n",
                              raw<float>({1.5F, -2.0F, 0.25F, 5600.0F}))));
  EXPECT_EQ(f4.shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(f4.values, (std::vector<float>{1.5F, -2.0F, 0.25F, 5600.0F}));
  const auto f2 = read_tensor(
      write_file("b.npy", npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }\n",
                              raw<std::uint16_t>({0x3c00, 0xc000}))));
  EXPECT_EQ(f2.values, (std::vector<float>{1.0F, -2.0F}));
  const auto f8 = read_tensor(write_file(
      "c.npy",
      npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", raw<double>({0.5}))));
  EXPECT_EQ(f8.values, (std::vector<float>{0.5F}));
}

TEST(TensorFile, Reads_a_named_tensor_of_safetensors) {
  const std::string table = R"({"__metadata__":{"format":"pt"},)"
                            R"("w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
                            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  const std::string path = write_file(
      "m.safetensors", safetensors(table, raw<std::uint16_t>({0x3f80, 0xc000}) + raw<float>({7})));
  EXPECT_EQ(read_tensor(path, "w").values, (std::vector<float>{1.0F, -2.0F}));
  EXPECT_EQ(read_tensor(path, "b").values, (std::vector<float>{7.0F}));
  EXPECT_EQ(message(path), ": holds several tensors; name one of b, w");
  EXPECT_EQ(message(path, "x"), ": holds no tensor \"x\"; it has b, w");
}

TEST(TensorFile, Broken_files_are_refused_in_one_line) {
  EXPECT_EQ(message(write_file("short.npy",
                               npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }\n",
                                   raw<float>({1})))),
            ": is shorter than its shape says");
  EXPECT_EQ(message(write_file("int.npy",
                               npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }\n",
                                   raw<float>({1})))),
            ": is not of type f2, f4 or f8");
  EXPECT_EQ(message(write_file("none.txt", "hello")),
            ": is neither a .npy nor a .safetensors file");
  EXPECT_EQ(message(write_file("cut.safetensors", "abc")),
            ": is too short for a .safetensors file");
  EXPECT_EQ(message(write_file("far.safetensors",
                               safetensors(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":)"
                                           R"([0,80]}})",
                                           raw<float>({1})))),
            ": has offsets outside of the file");
  EXPECT_EQ(message("/nonexistent/file.npy"), ": cannot be opened");
}

}  // namespace
}  // namespace foretoken::kernels
