// The CUDA GEMMs on a real device. Skipped without one; cuda_gemm_body_test.cpp runs the same code
// on an emulated block anywhere.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/gemm/cublaslt_gemm.h"
#include "kernels/gemm/device_weights.h"
#include "kernels/gemm/reference.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

class CudaGemm : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device on this machine";
    }
  }
};

struct Variant {
  CudaGemmPath path;
  int tile_tokens;
};

// Every kernel of the format that this device has.
std::vector<Variant> variants_of(const GemmFormat& format) {
  const CudaGemmKind kind = cuda_gemm_kind(format);
  std::vector<Variant> variants;
  for (const int tile : {16, 64, 128, 256}) {
    if (tile <= cuda_largest_tile(kind)) {
      variants.push_back({CudaGemmPath::mma_sync, tile});
    }
    if (current_cuda_device().hopper && hopper_has_kernel(kind) &&
        tile <= hopper_largest_tile(kind)) {
      variants.push_back({CudaGemmPath::wgmma, tile});
    }
  }
  return variants;
}

// Quantises on the device what the host quantised, runs, and returns fp32 results.
std::vector<float> run_on_device(const GemmDescriptor& d, const QuantizedWeights& w,
                                 const std::vector<Bf16>& activations, Variant variant) {
  const CudaPackedWeights packed = pack_cuda_weights(w, d.format);
  CudaGemmConfig config =
      choose_cuda_gemm_config(d, current_cuda_device(), packed.least_splits, variant.path);
  config.tile_tokens = variant.tile_tokens;
  const DeviceWeights weights(packed);
  const std::int64_t stride = cuda_activation_stride(d.format, d.k);
  const DeviceBuffer<Bf16> raw = to_device(activations);
  DeviceBuffer<std::uint8_t> prepared(static_cast<std::size_t>(d.m * stride));
  DeviceBuffer<float> scales(static_cast<std::size_t>(d.m));
  if (d.format.integer_math()) {
    launch_cuda_quantize_rows(raw.data(), d.m, d.k, prepared.data(), stride, scales.data(),
                              nullptr);
  } else {
    std::vector<std::uint8_t> padded(prepared.size());
    for (std::int64_t row = 0; row < d.m; ++row) {
      std::memcpy(padded.data() + row * stride, activations.data() + row * d.k,
                  static_cast<std::size_t>(d.k) * 2);
    }
    prepared.upload(padded.data(), padded.size());
  }
  std::vector<float> out(static_cast<std::size_t>(d.m * d.n), std::nanf(""));
  DeviceBuffer<float> result = to_device(out);
  DeviceBuffer<std::int32_t> workspace(out.size() * static_cast<std::size_t>(config.k_splits));
  CudaGemmArgs args;
  weights.describe(args);
  args.activations = prepared.data();
  args.activation_stride = stride;
  args.token_scales = scales.data();
  args.out = result.data();
  args.workspace = workspace.data();
  args.m = d.m;
  args.n = d.n;
  args.tiles_per_split = config.tiles_per_split;
  args.k_splits = config.k_splits;
  launch_cuda_gemm(config, args, nullptr);
  result.download(out.data(), out.size());
  return out;
}

std::vector<Bf16> random_bf16(std::int64_t m, std::int64_t k, std::uint64_t seed) {
  std::vector<Bf16> a;
  for (const float x : synthetic_matrix(SyntheticKind::outlier_channels, m, k, seed)) {
    a.push_back(to_bf16(x));
  }
  return a;
}

std::vector<float> widen(const std::vector<Bf16>& x) {
  std::vector<float> wide;
  for (const Bf16 value : x) {
    wide.push_back(to_float(value));
  }
  return wide;
}

TEST_F(CudaGemm, Integer_formats_equal_the_64_bit_reference_to_the_bit) {
  std::uint64_t seed = 1;
  for (const char* name : {"w8a8", "w4a8", "w4a8_g128_float", "w4a8_g128_integer"}) {
    const GemmFormat format = parse_gemm_format(name);
    for (const Variant variant : variants_of(format)) {
      SyntheticRandom random(++seed);
      const std::int64_t m = random.between(1, 300), n = random.between(1, 500),
                         k = random.between(1, 3000);
      const auto w = quantize_weights(synthetic_matrix(SyntheticKind::normal, n, k, seed), n, k,
                                      {format.weight_bits, format.group, false});
      const auto raw = random_bf16(m, k, seed + 7);
      const auto a = quantize_activations(widen(raw), m, k);
      const std::vector<float> want = format.scale == ScaleKind::group_integer
                                          ? reference_group_integer(a, w, choose_integer_scales(w))
                                      : format.scale == ScaleKind::group_float
                                          ? reference_group_float(a, w)
                                          : reference_per_channel(a, w);
      const auto got = run_on_device({m, n, k, format, OutputType::fp32}, w, raw, variant);
      for (std::size_t i = 0; i < want.size(); ++i) {
        // A split of k adds float groups in another order; the others stay exact.
        if (format.scale == ScaleKind::group_float) {
          ASSERT_NEAR(got[i], want[i], 1e-4 * (1 + std::fabs(want[i])));
        } else {
          ASSERT_EQ(std::memcmp(&got[i], &want[i], 4), 0)
              << name << (variant.path == CudaGemmPath::wgmma ? " wgmma" : " mma_sync") << " tile "
              << variant.tile_tokens << " seed " << seed << " at " << i;
        }
      }
    }
  }
}

TEST_F(CudaGemm, Weight_only_formats_agree_with_fp64) {
  const std::int64_t m = 77, n = 210, k = 1000;
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    const GemmFormat format = parse_gemm_format("w" + std::to_string(bits) + "a16_g128");
    const auto w = quantize_weights(synthetic_matrix(SyntheticKind::normal, n, k, 1), n, k,
                                    {bits, 128, false});
    const auto raw = random_bf16(m, k, 2);
    const auto want = reference_fp64_gemm(widen(raw), dequantize(w), m, n, k);
    for (const Variant variant : variants_of(format)) {
      const auto got = run_on_device({m, n, k, format, OutputType::fp32}, w, raw, variant);
      for (std::size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], 1e-3 * std::sqrt(static_cast<double>(k)))
            << bits << " bits at " << i;
      }
    }
  }
}

TEST(CudaGemmPaths, Without_a_device_wgmma_is_declined_in_words) {
  EXPECT_NE(lack_of_hopper(80), "");
  if (cuda_device_count() == 0) {
    EXPECT_NE(lack_of_hopper(90), "");
  }
}

TEST_F(CudaGemm, CublasLt_int8_gives_exact_dot_products) {
  const std::int64_t m = 64, n = 96, k = 256;
  const auto w =
      quantize_weights(synthetic_matrix(SyntheticKind::normal, n, k, 1), n, k, {8, 0, false});
  const auto a = quantize_activations(synthetic_matrix(SyntheticKind::normal, m, k, 2), m, k);
  const auto weights = to_device(w.values), activations = to_device(a.values);
  DeviceBuffer<std::int32_t> out(static_cast<std::size_t>(m * n));
  CublasLtGemm gemm(CublasLtKind::int8, m, n, k);
  gemm.run(activations.data(), weights.data(), out.data(), nullptr, nullptr, nullptr);
  std::vector<std::int32_t> got(out.size());
  out.download(got.data(), got.size());
  const auto want = reference_int_gemm(a, w);
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i], want[i]);
  }
}

}  // namespace
}  // namespace foretoken::kernels
