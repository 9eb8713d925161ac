// The CUDA codec on a real device against the scalar reference. Skipped without one.
#include "kernels/codec/codec_cuda.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/base/cuda_check.h"
#include "special_patterns.h"

namespace foretoken::kernels {
namespace {

using Bytes = std::vector<std::uint8_t>;

class CodecCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device on this machine";
    }
  }
};

DeviceBuffer<std::uint8_t> on_device(const Bytes& host) {
  DeviceBuffer<std::uint8_t> buffer(host.size());
  buffer.upload(host.data(), host.size());
  return buffer;
}

Bytes to_host(const DeviceBuffer<std::uint8_t>& buffer, std::size_t size) {
  Bytes host(size);
  buffer.download(host.data(), size);
  return host;
}

TEST_F(CodecCuda, Every_format_agrees_with_the_reference) {
  const std::size_t counts[] = {
      1, 32, 33, 1000, kBlockValues, kBlockValues + 1, 9 * kBlockValues + 95};
  const auto all = patterns(10 * kBlockValues);
  for (const WireFormat& format : all_wire_formats()) {
    for (std::size_t p = 0; p < all.size(); ++p) {
      const std::size_t n = counts[(p + static_cast<std::size_t>(format.bits)) % 7];
      for (const auto type : {ValueType::fp32, ValueType::bf16, ValueType::fp16}) {
        const std::string what =
            to_string(format) + ", " + all[p].name + ", n " + std::to_string(n);
        const Bytes in = to_elements(all[p].values, n, type);
        Bytes expected(packed_bytes(format, n));
        reference_codec().pack(format, {in.data(), type}, n, expected.data());
        const auto source = on_device(in);
        DeviceBuffer<std::uint8_t> packed(expected.size());
        cuda_pack(format, {source.data(), type}, n, packed.data(), nullptr);
        const Bytes actual = to_host(packed, expected.size());
        expect_same_message(format, actual, expected, what);
        Bytes values(n * value_bytes(type));
        reference_codec().unpack(format, expected.data(), n, {values.data(), type});
        packed.upload(expected.data(), expected.size());
        DeviceBuffer<std::uint8_t> out(values.size());
        cuda_unpack(format, packed.data(), n, {out.data(), type}, nullptr);
        expect_same(to_host(out, values.size()), values, type, what);
        if (HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TEST_F(CodecCuda, Fused_sums_agree_with_the_reference) {
  constexpr std::size_t kCount = 5 * kBlockValues + 37;
  const auto formats = all_wire_formats();
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WireFormat& from = formats[i];
    const WireFormat& to = formats[(5 * i + 1) % formats.size()];
    std::vector<Bytes> messages;
    std::vector<const std::uint8_t*> host;
    std::vector<DeviceBuffer<std::uint8_t>> buffers;
    std::vector<const std::uint8_t*> inputs;
    for (unsigned rank = 0; rank < 4; ++rank) {
      const auto x = normal_values(kCount, rank);
      messages.emplace_back(packed_bytes(from, kCount));
      reference_codec().pack(from, {x.data(), ValueType::fp32}, kCount, messages.back().data());
      buffers.push_back(on_device(messages.back()));
      inputs.push_back(buffers.back().data());
    }
    for (const Bytes& m : messages) {
      host.push_back(m.data());
    }
    Bytes expected(packed_bytes(to, kCount));
    reference_codec().unpack_reduce_pack(from, host, kCount, to, expected.data());
    DeviceBuffer<std::uint8_t> out(expected.size());
    cuda_unpack_reduce_pack(from, inputs, kCount, to, out.data(), nullptr);
    ASSERT_EQ(to_host(out, expected.size()), expected)
        << to_string(from) << " to " << to_string(to);
    Bytes sum(4 * kCount);
    reference_codec().unpack_accumulate(from, host, kCount, {sum.data(), ValueType::fp32});
    DeviceBuffer<std::uint8_t> device_sum(sum.size());
    cuda_unpack_accumulate(from, inputs, kCount, {device_sum.data(), ValueType::fp32}, nullptr);
    ASSERT_EQ(to_host(device_sum, sum.size()), sum) << to_string(from);
  }
}

}  // namespace
}  // namespace foretoken::kernels
