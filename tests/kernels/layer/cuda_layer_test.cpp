// The CUDA layer kernels on a real device, against the CPU ones. Skipped without a device.
#include "kernels/layer/cuda_layer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/base/cuda_check.h"
#include "kernels/gemm/cuda_launch.h"
#include "kernels/gemm/synthetic.h"
#include "kernels/layer/attention.h"
#include "kernels/layer/elementwise.h"

namespace foretoken::kernels {
namespace {

class CudaLayer : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device on this machine";
    }
  }
  WorkerPool pool_{2};
};

std::vector<Bf16> random_bf16(std::int64_t count, std::uint64_t seed) {
  std::vector<Bf16> out;
  for (const float x : synthetic_matrix(SyntheticKind::normal, 1, count, seed)) {
    out.push_back(to_bf16(x));
  }
  return out;
}

template <typename T>
DeviceBuffer<T> to_device(const T* host, std::size_t count) {
  DeviceBuffer<T> buffer(count);
  buffer.upload(host, count);
  return buffer;
}
template <typename T>
DeviceBuffer<T> to_device(const std::vector<T>& host) {
  return to_device(host.data(), host.size());
}
template <typename T>
std::vector<T> to_host(const DeviceBuffer<T>& buffer) {
  std::vector<T> host(buffer.size());
  buffer.download(host.data(), host.size());
  return host;
}

// One unit of bf16, for sums in another order.
void expect_close(const std::vector<Bf16>& got, const std::vector<Bf16>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const float w = to_float(want[i]);
    ASSERT_NEAR(to_float(got[i]), w, std::fabs(w) * 0x1p-7F + 1e-6F) << i;
  }
}

TEST_F(CudaLayer, Elementwise_kernels_agree_with_the_cpu) {
  const std::int64_t rows = 9, width = 1000;
  const auto x = random_bf16(rows * 2 * width, 1), y = random_bf16(rows * 2 * width, 2);
  const auto w = random_bf16(2 * width, 3);
  const auto dx = to_device(x), dw = to_device(w), dy = to_device(y);
  DeviceBuffer<Bf16> out(x.size());
  std::vector<Bf16> want(x.size());
  launch_cuda_rms_norm(dx.data(), dw.data(), rows, 2 * width, 1e-5F, out.data(), nullptr);
  rms_norm(x, w, 1e-5F, want, pool_);
  expect_close(to_host(out), want);

  DeviceBuffer<Bf16> half(x.size() / 2);
  std::vector<Bf16> want_half(x.size() / 2);
  launch_cuda_silu_multiply(dx.data(), rows, width, half.data(), nullptr);
  silu_multiply(x, width, want_half, pool_);
  expect_close(to_host(half), want_half);

  auto sum = to_device(x);
  want = x;
  launch_cuda_add(sum.data(), dy.data(), static_cast<std::int64_t>(x.size()), nullptr);
  add_residual(want, y, pool_);
  EXPECT_EQ(to_host(sum), want);
}

TEST_F(CudaLayer, Embedding_and_argmax_agree_with_the_cpu) {
  const auto table = random_bf16(50 * 33, 4);
  const std::vector<std::int32_t> ids{49, 0, 7};
  const auto device_table = to_device(table);
  const auto device_ids = to_device(ids);
  DeviceBuffer<Bf16> out(99);
  std::vector<Bf16> want(99);
  launch_cuda_embed(device_table.data(), 33, device_ids.data(), 3, out.data(), nullptr);
  embed(table, 33, ids, want, pool_);
  EXPECT_EQ(to_host(out), want);

  std::vector<float> logits = synthetic_matrix(SyntheticKind::normal, 4, 1003, 5);
  logits[1002] = logits[3] = 100;  // equals: the first wins
  const auto device_logits = to_device(logits);
  DeviceBuffer<std::int32_t> best(4);
  launch_cuda_argmax(device_logits.data(), 4, 1003, best.data(), nullptr);
  EXPECT_EQ(to_host(best), argmax_rows(logits, 1003, pool_));
}

// Groups of warps and of blocks, four values at a time and one by one.
TEST_F(CudaLayer, Quantised_activations_have_the_bytes_of_the_cpu) {
  for (const std::int64_t width : {1000, 1027}) {
    const std::int64_t rows = 13;
    const auto x = random_bf16(rows * width, 6);
    const auto dx = to_device(x);
    DeviceBuffer<std::uint8_t> out(x.size());
    CudaQuantizeArgs args;
    args.x = reinterpret_cast<const std::uint16_t*>(dx.data());
    args.rows = rows;
    args.width = args.stride = width;
    args.out = out.data();
    const auto same = [&](const void* values, const DeviceBuffer<float>& scales,
                          const std::vector<float>& want) {
      EXPECT_EQ(std::memcmp(to_host(out).data(), values, x.size()), 0) << width;
      EXPECT_EQ(to_host(scales), want) << width;
    };
    for (const std::int64_t group : {0, 32, 128}) {
      Int8Rows want;
      quantize_rows(x, width, group, want, pool_);
      DeviceBuffer<float> scales(want.scales.size());
      args.fp8 = false;
      args.group = group == 0 ? width : group;
      args.scales = scales.data();
      launch_cuda_quantize(args, nullptr);
      same(want.values.data(), scales, want.scales);
    }
    for (const ScaleKind kind :
         {ScaleKind::per_tensor, ScaleKind::per_channel, ScaleKind::block_128}) {
      Fp8Rows want;
      quantize_rows_fp8(x, width, kind, want, pool_);
      DeviceBuffer<float> scales(want.scales.size()), largest(1);
      args.fp8 = true;
      args.group = kind == ScaleKind::block_128 ? 128 : width;
      args.scales = scales.data();
      kind == ScaleKind::per_tensor ? launch_cuda_quantize_tensor(args, largest.data(), nullptr)
                                    : launch_cuda_quantize(args, nullptr);
      same(want.values.data(), scales, want.scales);
    }
  }
}

TEST_F(CudaLayer, Attention_agrees_with_fp64) {
  const int heads = 8, kv_heads = 2, dim = 128;
  for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
    for (const std::int64_t asking : {1, 130}) {
      const std::int64_t length = 700;
      PagedKvCache cache({kv_heads, dim, format}, 44);
      std::vector<std::int32_t> table(44);
      std::iota(table.begin(), table.end(), 0);
      for (std::int64_t p = 0; p < length; ++p) {
        const auto seed = static_cast<std::uint64_t>(2 * p);
        cache.store(table, p, random_bf16(kv_heads * dim, seed),
                    random_bf16(kv_heads * dim, seed + 1));
      }
      const auto queries = random_bf16(asking * heads * dim, 9);
      const std::size_t rows = 44U * kv_heads * 16,
                        bytes = rows * dim * (format == KvFormat::bf16 ? 2 : 1);
      const auto keys = to_device(cache.key(table, 0, 0).values, bytes);
      const auto values = to_device(cache.value(table, 0, 0).values, bytes);
      const bool scaled = format != KvFormat::bf16;
      const auto key_scales = to_device(cache.key_scales(), scaled ? rows : 0);
      const auto value_scales = to_device(cache.value_scales(), scaled ? rows : 0);
      const auto device_table = to_device(table);
      const auto device_queries = to_device(queries);
      const auto sequences =
          to_device(std::vector<CudaSequence>{{device_table.data(), length, asking, 0}});
      DeviceBuffer<Bf16> out(queries.size());
      CudaAttentionArgs args;
      args.queries = reinterpret_cast<const std::uint16_t*>(device_queries.data());
      args.out = reinterpret_cast<std::uint16_t*>(out.data());
      args.keys = keys.data();
      args.values = values.data();
      args.key_scales = key_scales.data();
      args.value_scales = value_scales.data();
      args.sequences = sequences.data();
      args.format = format;
      args.heads = heads;
      args.kv_heads = kv_heads;
      args.scale = 1.0F / std::sqrt(static_cast<float>(dim));
      args.key_splits = asking == 1 ? 2 : 1;
      DeviceBuffer<float> partial(
          static_cast<std::size_t>(asking * heads * args.key_splits * (dim + 2)));
      args.partial = partial.data();
      launch_cuda_attention(args, dim, 1, asking, asking, nullptr);
      const auto got = to_host(out);
      const auto want = reference_attention({heads, args.scale, 0}, cache, {table, length, asking},
                                            queries.data());
      for (std::size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(to_float(got[i]), want[i], 0.01 * (1 + std::fabs(want[i]))) << i;
      }
    }
  }
}

}  // namespace
}  // namespace foretoken::kernels
