#include "kernels/gemm/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"
#include "kernels/gemm/packed_weights.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

class Safetensors : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  // Writes a file with the given JSON header and data.
  void write(const std::string& header, const std::string& data) {
    std::ofstream file(path_, std::ios::binary);
    const std::uint64_t size = header.size();
    file.write(reinterpret_cast<const char*>(&size), 8);
    file << header << data;
  }
  void expect_error(const std::string& tensor, const std::string& part) {
    try {
      SafetensorsFile(path_).read(tensor);
      FAIL() << "no error";
    } catch (const KernelError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(path_), std::string::npos);
    }
  }

  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("foretoken_" + std::to_string(getpid()) + ".safetensors"))
                          .string();
};

TEST_F(Safetensors, Reads_fp32_bf16_and_fp16_tensors) {
  const float one[] = {1.5F, -2.0F};
  std::string data(reinterpret_cast<const char*>(one), 8);
  data += std::string("\x80\x3f\x40\xc0", 4);  // bf16 1.0 = 0x3f80, -3.0 = 0xc040
  data += std::string("\x00\x3c", 2);          // fp16 1.0 = 0x3c00
  write(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
        R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
        R"("c":{"dtype":"F16","shape":[1],"data_offsets":[12,14]}})",
        data);
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(file.read("a").values, (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(file.read("a").shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(file.read("b").values, (std::vector<float>{1.0F, -3.0F}));
  EXPECT_EQ(file.read("c").values, (std::vector<float>{1.0F}));
}

TEST_F(Safetensors, A_checkpoints_matrix_is_packed_like_the_weights_it_was_written_from) {
  constexpr std::int64_t kChannels = 40, kDepth = 256;
  std::vector<float> values = synthetic_matrix(SyntheticKind::heavy_tailed, kChannels, kDepth, 1);
  std::string data;
  for (float& value : values) {
    const Bf16 rounded = to_bf16(value);
    value = to_float(rounded);
    data.append(reinterpret_cast<const char*>(&rounded), 2);
  }
  write(R"({"w":{"dtype":"BF16","shape":[40,256],"data_offsets":[0,20480]}})", data);
  const Tensor tensor = SafetensorsFile(path_).read("w");
  for (const GemmFormat& format : all_gemm_formats()) {
    SCOPED_TRACE(to_string(format));
    const PackedWeights want = pack_from_fp32(values, kChannels, kDepth, format, true);
    const PackedWeights got =
        pack_from_fp32(tensor.values, tensor.shape[0], tensor.shape[1], format, true);
    for (const auto part :
         {&PackedWeights::data, &PackedWeights::scales, &PackedWeights::integer_scales}) {
      ASSERT_EQ((got.*part).size(), (want.*part).size());
      const std::size_t bytes = (want.*part).size();
      EXPECT_TRUE(bytes == 0 || std::memcmp((got.*part).as(), (want.*part).as(), bytes) == 0);
    }
  }
}

TEST_F(Safetensors, Says_what_is_wrong_with_a_bad_file) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  write(good, std::string(8, '\0'));
  expect_error("b", "has no tensor \"b\"");
  write(R"({"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", std::string(8, '\0'));
  expect_error("a", "has type I64");
  write(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", std::string(8, '\0'));
  expect_error("a", "do not match its shape");
  write(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "");
  expect_error("a", "do not match its shape");
  write(good, std::string(4, '\0'));
  expect_error("a", "lies outside the file");
  write("{", "");
  expect_error("a", "header is not valid");
  std::ofstream(path_, std::ios::binary) << std::string(8, '\x7f');
  expect_error("a", "not a .safetensors file");
  std::filesystem::remove(path_);
  expect_error("a", "cannot be read");
}

}  // namespace
}  // namespace foretoken::kernels
