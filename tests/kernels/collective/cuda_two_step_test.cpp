// Virtual ranks on one device, with messages in device memory and in pinned host memory, against
// the scalar reference. Skipped without a device.
#include "kernels/collective/cuda_two_step.h"

#include <gtest/gtest.h>

#include "group_runner.h"
#include "kernels/base/cuda_check.h"

namespace foretoken::kernels {
namespace {

class CudaTwoStepTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device on this machine";
    }
  }
};

// Sums are packed tile by tile whoever owns them, so the whole vector is one slice of the
// reference.
std::vector<float> expected_sum(int ranks, std::size_t n, const WireFormat& first,
                                const WireFormat& second) {
  std::vector<std::vector<std::uint8_t>> messages;
  std::vector<const std::uint8_t*> inputs;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto x = rank_values(rank, n);
    messages.emplace_back(packed_bytes(first, n));
    reference_codec().pack(first, {x.data(), ValueType::fp32}, n, messages.back().data());
  }
  for (const auto& m : messages) {
    inputs.push_back(m.data());
  }
  std::vector<std::uint8_t> sum(packed_bytes(second, n));
  reference_codec().unpack_reduce_pack(first, inputs, n, second, sum.data());
  std::vector<float> out(n);
  reference_codec().unpack(second, sum.data(), n, {out.data(), ValueType::fp32});
  return out;
}

TEST_F(CudaTwoStepTest, Every_virtual_rank_ends_with_the_reference_bytes) {
  for (const auto wire :
       {CudaVirtualRanks::Wire::device_memory, CudaVirtualRanks::Wire::pinned_host}) {
    for (const int ranks : {2, 3, 4, 8}) {
      for (const std::size_t n : {std::size_t{1}, std::size_t{1000}, std::size_t{70001}}) {
        for (const auto& [first, second] :
             {std::pair{"int8", "int8"}, std::pair{"int4/g32/spike", "int8"},
              std::pair{"fp32", "fp32"}, std::pair{"int2/spike/log8", "int5"}}) {
          const WireFormat a = parse_wire_format(first);
          const WireFormat b = parse_wire_format(second);
          CudaVirtualRanks group(ranks, a, b, ValueType::fp32, n, wire);
          for (int rank = 0; rank < ranks; ++rank) {
            group.upload(rank, rank_values(rank, n).data());
          }
          group.run({}, nullptr);
          group.run({}, nullptr);  // counters carry over
          group.check();
          const auto expected = expected_sum(ranks, n, a, b);
          for (int rank = 0; rank < ranks; ++rank) {
            std::vector<float> out(n);
            group.download(rank, out.data());
            ASSERT_EQ(out, expected) << first << " " << ranks << " ranks, rank " << rank;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace foretoken::kernels
