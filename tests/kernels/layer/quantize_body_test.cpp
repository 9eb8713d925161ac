// The CUDA quantisation's own code on emulated blocks, against the bytes of the CPU.
#include "kernels/gemm/quantize_body.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "../gemm/emulated_gpu.h"
#include "kernels/gemm/synthetic.h"
#include "kernels/layer/elementwise.h"

namespace foretoken::kernels {
namespace {

constexpr std::int64_t kRows = 5;

// Outliers, a row of zeros, and a row so small that its scale is the smallest one.
std::vector<Bf16> activations(std::int64_t width) {
  std::vector<Bf16> x;
  x.reserve(static_cast<std::size_t>(kRows * width));
  for (const float value :
       synthetic_matrix(SyntheticKind::outlier_channels, kRows, width, width * 7)) {
    const auto row = static_cast<std::int64_t>(x.size()) / width;
    x.push_back(to_bf16(row == 1 ? 0.0F : row == 3 ? value * 1e-37F : value));
  }
  return x;
}

struct Result {
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales;
};

template <int Threads, int Step>
void run_blocks(const CudaQuantizeArgs& args) {
  for (std::int64_t x = 0; x < quantize_blocks(args); ++x) {
    EmulatedBlock block(kQuantizeThreads, kQuantizeShared, {});
    block.x = x;
    block.run(
        [&](EmulatedLane& lane) { QuantizeBlock<Threads, Step, EmulatedLane>(lane, args).run(); });
  }
}

// The largest magnitude of all, as largest_magnitude of cuda_gemm.cu takes it together.
float largest_of_all(const CudaQuantizeArgs& args) {
  constexpr std::int64_t kBlocks = 2;
  float largest = 0;
  for (std::int64_t x = 0; x < kBlocks; ++x) {
    EmulatedBlock block(kQuantizeThreads, kQuantizeShared, {});
    block.x = x;
    block.run([&](EmulatedLane& lane) {
      largest = std::max(largest, QuantizeBlock<32, 1, EmulatedLane>(lane, args)
                                      .largest_of_share(kBlocks * kQuantizeThreads));
    });
  }
  return largest;
}

// `group` 0: a scale per token. Rows are padded by `padding` bytes, which must become zeros.
Result emulate(const std::vector<Bf16>& x, std::int64_t width, std::int64_t group, bool fp8,
               bool tensor, std::int64_t padding) {
  CudaQuantizeArgs args;
  args.x = reinterpret_cast<const std::uint16_t*>(x.data());
  args.rows = kRows;
  args.width = width;
  args.group = group == 0 ? width : group;
  args.fp8 = fp8;
  args.stride = width + padding;
  const float largest = tensor ? largest_of_all(args) : 0.0F;
  args.largest = tensor ? &largest : nullptr;
  const std::size_t scales = tensor ? 1 : static_cast<std::size_t>(kRows * args.groups());
  Result result{std::vector<std::uint8_t>(static_cast<std::size_t>(kRows * args.stride), 0xcd),
                std::vector<float>(scales, std::numeric_limits<float>::quiet_NaN())};
  args.out = result.bytes.data();
  args.scales = result.scales.data();
  if (quantize_by_warps(args)) {
    quantize_in_fours(args) ? run_blocks<32, 4>(args) : run_blocks<32, 1>(args);
  } else {
    quantize_in_fours(args) ? run_blocks<kQuantizeThreads, 4>(args)
                            : run_blocks<kQuantizeThreads, 1>(args);
  }
  return result;
}

void expect_same(const Result& got, const void* values, const std::vector<float>& scales,
                 std::int64_t width, std::int64_t padding) {
  EXPECT_EQ(got.scales, scales);
  const auto* want = static_cast<const std::uint8_t*>(values);
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < width + padding; ++i) {
      ASSERT_EQ(got.bytes[static_cast<std::size_t>(row * (width + padding) + i)],
                i < width ? want[row * width + i] : 0)
          << "row " << row << " value " << i;
    }
  }
}

TEST(EmulatedQuantize, Int8_has_the_bytes_of_the_cpu) {
  WorkerPool pool(1);
  for (const std::int64_t width : {40, 1000, 1027}) {
    const auto x = activations(width);
    for (const std::int64_t group : {0, 32, 128}) {
      SCOPED_TRACE(testing::Message() << "width " << width << " group " << group);
      Int8Rows want;
      quantize_rows(x, width, group, want, pool);
      expect_same(emulate(x, width, group, false, false, 24), want.values.data(), want.scales,
                  width, 24);
    }
  }
}

TEST(EmulatedQuantize, Fp8_has_the_bytes_of_the_cpu) {
  WorkerPool pool(1);
  for (const std::int64_t width : {40, 1000, 1027}) {
    const auto x = activations(width);
    for (const ScaleKind kind :
         {ScaleKind::per_tensor, ScaleKind::per_channel, ScaleKind::block_128}) {
      SCOPED_TRACE(testing::Message() << "width " << width << " scales " << static_cast<int>(kind));
      Fp8Rows want;
      quantize_rows_fp8(x, width, kind, want, pool);
      const std::int64_t group = kind == ScaleKind::block_128 ? 128 : 0;
      expect_same(emulate(x, width, group, true, kind == ScaleKind::per_tensor, 0),
                  want.values.data(), want.scales, width, 0);
    }
  }
}

}  // namespace
}  // namespace foretoken::kernels
