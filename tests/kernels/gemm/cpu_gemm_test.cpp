#include "kernels/gemm/cpu_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/gemm/reference.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

struct Shape {
  std::int64_t m, n, k;
};

// Around every edge of the kernels (rows 1..8, 16, 32; channels 16, 32; k 32, 64, 128), then at
// random.
std::vector<Shape> shapes(std::uint64_t seed, int random_count) {
  std::vector<Shape> list{{1, 1, 1},    {1, 33, 129},  {2, 16, 64},   {3, 31, 63},   {5, 32, 128},
                          {8, 17, 255}, {9, 64, 65},   {15, 40, 1},   {16, 32, 256}, {17, 33, 127},
                          {31, 1, 300}, {32, 32, 512}, {33, 65, 190}, {67, 95, 384}};
  SyntheticRandom random(seed);
  for (int i = 0; i < random_count; ++i) {
    list.push_back({random.between(1, 80), random.between(1, 150), random.between(1, 700)});
  }
  return list;
}

std::string describe(const GemmDescriptor& descriptor, const CpuGemmConfig& config) {
  return to_string(descriptor) + " on " + to_string(config);
}

// Runs on every instruction set, with one and two threads, in one pass over the tokens and in
// several, with weights expanded in the kernel and ahead of it, into a poisoned buffer with guards
// on both sides.
template <typename Check>
void run_everywhere(const GemmDescriptor& descriptor, const PackedWeights& weights,
                    const GemmActivations& activations, const Check& check) {
  constexpr std::size_t kGuard = 64;
  const auto count = static_cast<std::size_t>(descriptor.m * descriptor.n);
  const float poison = std::numeric_limits<float>::quiet_NaN();
  WorkerPool one(1), two(2);
  for (const CpuIsa isa : available_isas(cpu_features())) {
    for (const bool expand : {false, true}) {
      CpuGemmConfig config = choose_cpu_gemm_config(descriptor, cpu_features(), expand ? 2 : 1);
      const bool may_choose =
          descriptor.format.integer_math() && descriptor.format.weight_bits == 4;
      config.isa = isa;
      config.expand_once = may_choose ? expand : config.expand_once;
      config.fold_scales = expand;
      config.rows_per_pass = expand ? kBlockRows : 1 << 20;
      CpuGemm gemm(expand ? two : one);
      std::vector<float> out(count + 2 * kGuard, poison);
      gemm.run(descriptor, config, weights, activations, out.data() + kGuard);
      for (std::size_t i = 0; i < kGuard; ++i) {
        ASSERT_TRUE(std::isnan(out[i]) && std::isnan(out[count + kGuard + i]))
            << describe(descriptor, config);
      }
      check(std::vector<float>(out.begin() + kGuard, out.end() - kGuard),
            describe(descriptor, config));
    }
  }
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(std::memcmp(&got[i], &want[i], 4), 0)
        << what << " at " << i << ": " << got[i] << " instead of " << want[i];
  }
}

std::vector<float> integer_reference(const GemmFormat& format, const QuantizedActivations& a,
                                     const QuantizedWeights& w) {
  switch (format.scale) {
    case ScaleKind::group_float:
      return reference_group_float(a, w);
    case ScaleKind::group_integer:
      return reference_group_integer(a, w, choose_integer_scales(w));
    default:
      return reference_per_channel(a, w);
  }
}

class IntegerGemm : public testing::TestWithParam<const char*> {};

TEST_P(IntegerGemm, Equals_the_64_bit_reference_to_the_bit_on_every_instruction_set) {
  const GemmFormat format = parse_gemm_format(GetParam());
  std::uint64_t seed = 11;
  for (const Shape& s : shapes(seed, 8)) {
    SCOPED_TRACE(testing::Message() << "seed " << ++seed);
    const auto w = quantize_weights(synthetic_matrix(SyntheticKind::normal, s.n, s.k, seed), s.n,
                                    s.k, {format.weight_bits, format.group, false});
    const auto a = quantize_activations(
        synthetic_matrix(SyntheticKind::outlier_channels, s.m, s.k, seed + 1000), s.m, s.k);
    const std::vector<float> want = integer_reference(format, a, w);
    run_everywhere({s.m, s.n, s.k, format, OutputType::fp32}, pack_weights(w, format),
                   {a.values.data(), a.scales.data()},
                   [&](const std::vector<float>& got, const std::string& what) {
                     expect_same_bits(got, want, what);
                   });
  }
}

TEST_P(IntegerGemm, Extreme_values_do_not_overflow_or_saturate) {
  const GemmFormat format = parse_gemm_format(GetParam());
  const std::int64_t m = 19, n = 40, k = 1000;
  const int limit = weight_limit(format.weight_bits);
  for (const int sign : {1, -1}) {
    QuantizedWeights w = quantize_weights(std::vector<float>(n * k, 1.0F), n, k,
                                          {format.weight_bits, format.group, false});
    w.values.assign(w.values.size(), static_cast<std::int8_t>(sign * limit));
    QuantizedActivations a{m, k, std::vector<std::int8_t>(m * k, 127),
                           std::vector<float>(m, 0.25F)};
    const std::vector<float> want = integer_reference(format, a, w);
    run_everywhere({m, n, k, format, OutputType::fp32}, pack_weights(w, format),
                   {a.values.data(), a.scales.data()},
                   [&](const std::vector<float>& got, const std::string& what) {
                     expect_same_bits(got, want, what);
                   });
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, IntegerGemm,
                         testing::Values("w8a8", "w4a8", "w4a8_g128_float", "w4a8_g128_integer",
                                         "w4a8_g64_float", "w4a8_g64_integer"),
                         [](const auto& test) { return std::string(test.param); });

TEST(CpuGemm, FastGemm_w4a8_equals_w8a8_on_the_same_integers_to_the_bit) {
  const std::int64_t m = 37, n = 70, k = 515;
  const auto four =
      quantize_weights(synthetic_matrix(SyntheticKind::normal, n, k, 21), n, k, {4, 0, false});
  QuantizedWeights eight = four;
  eight.bits = 8;
  const auto a = quantize_activations(synthetic_matrix(SyntheticKind::normal, m, k, 22), m, k);
  const GemmFormat w8a8 = parse_gemm_format("w8a8"), w4a8 = parse_gemm_format("w4a8");
  std::vector<float> want(static_cast<std::size_t>(m * n));
  WorkerPool pool(1);
  CpuGemm(pool).run({m, n, k, w8a8, OutputType::fp32}, pack_weights(eight, w8a8),
                    {a.values.data(), a.scales.data()}, want.data());
  run_everywhere({m, n, k, w4a8, OutputType::fp32}, pack_weights(four, w4a8),
                 {a.values.data(), a.scales.data()},
                 [&](const std::vector<float>& got, const std::string& what) {
                   expect_same_bits(got, want, what);
                 });
}

TEST(CpuGemm, Sums_that_pass_32_bits_are_split_along_k) {
  // 140,000 x 127 x 127 = 2.258e9 > 2^31 - 1 (and 16 x 7 x 127 x 160,000 = 2.276e9 in FastGEMM's
  // form).
  for (const char* name : {"w8a8", "w4a8"}) {
    const GemmFormat format = parse_gemm_format(name);
    const std::int64_t m = 5, n = 3, k = format.weight_bits == 8 ? 140000 : 160000;
    QuantizedWeights w{n, k, format.weight_bits, 0, {}, {1.0F, 0.5F, 0.125F}};
    w.values.assign(static_cast<std::size_t>(n * k),
                    static_cast<std::int8_t>(weight_limit(format.weight_bits)));
    QuantizedActivations a{m, k, std::vector<std::int8_t>(m * k, 127), std::vector<float>(m, 1.0F)};
    const std::vector<float> want = reference_per_channel(a, w);
    run_everywhere({m, n, k, format, OutputType::fp32}, pack_weights(w, format),
                   {a.values.data(), a.scales.data()},
                   [&](const std::vector<float>& got, const std::string& what) {
                     expect_same_bits(got, want, what);
                   });
  }
}

TEST(CpuGemm, Integer_scales_that_need_a_split_equal_the_64_bit_reference) {
  const std::int64_t m = 3, n = 2, groups = 1024, k = groups * 128;
  SyntheticRandom random(31);
  std::vector<float> raw(static_cast<std::size_t>(n * k));
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const auto scale = static_cast<float>(0.5 + static_cast<double>(i / 128 * 7919 % 1000) / 1000);
    raw[i] = (random.next() % 2 == 0 ? 7.0F : -7.0F) * scale;
  }
  const auto w = quantize_weights(raw, n, k, {4, 128, false});
  const IntegerScales scales = choose_integer_scales(w);
  ASSERT_GT(scales.k_splits, 1);
  // Activations with the weights' signs: every product is positive, the sum as large as can be.
  QuantizedActivations a{m, k, std::vector<std::int8_t>(m * k), {1.0F, 0.5F, 2.0F}};
  for (std::int64_t i = 0; i < m * k; ++i) {
    a.values[static_cast<std::size_t>(i)] =
        static_cast<std::int8_t>(w.values[static_cast<std::size_t>(i % k)] > 0 ? 127 : -127);
  }
  const GemmFormat format = parse_gemm_format("w4a8_g128_integer");
  const std::vector<float> want = reference_group_integer(a, w, scales);
  run_everywhere({m, n, k, format, OutputType::fp32}, pack_weights(w, format),
                 {a.values.data(), a.scales.data()},
                 [&](const std::vector<float>& got, const std::string& what) {
                   expect_same_bits(got, want, what);
                 });
}

// Largest |error| over the scale that fp32 accumulation errors live on: sum |a w| of the output.
double relative_error(const std::vector<float>& got, const std::vector<float>& a,
                      const std::vector<float>& w, const Shape& s) {
  std::vector<float> a_magnitude = a, w_magnitude = w;
  for (float& value : a_magnitude) {
    value = std::fabs(value);
  }
  for (float& value : w_magnitude) {
    value = std::fabs(value);
  }
  const auto want = reference_fp64_gemm(a, w, s.m, s.n, s.k);
  const auto scale = reference_fp64_gemm(a_magnitude, w_magnitude, s.m, s.n, s.k);
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = std::fabs(got[i] - want[i]) / (scale[i] + 1e-30);
    worst = std::isnan(got[i]) ? 1e9 : std::fmax(worst, error);
  }
  return worst;
}

std::vector<Bf16> to_bf16(const std::vector<float>& values) {
  std::vector<Bf16> out;
  out.reserve(values.size());
  for (const float value : values) {
    out.push_back(kernels::to_bf16(value));
  }
  return out;
}

std::vector<float> to_fp32(const std::vector<Bf16>& values) {
  std::vector<float> out;
  out.reserve(values.size());
  for (const Bf16 value : values) {
    out.push_back(to_float(value));
  }
  return out;
}

// fp32 sums of k terms: k 2^-24, far less in practice because errors have both signs.
constexpr double kFp32Tolerance = 1e-5;

TEST(CpuGemm, Bf16_agrees_with_fp64_within_fp32_accumulation) {
  std::uint64_t seed = 41;
  for (const Shape& s : shapes(seed, 4)) {
    SCOPED_TRACE(testing::Message() << "seed " << ++seed);
    const auto w = to_bf16(synthetic_matrix(SyntheticKind::normal, s.n, s.k, seed));
    const auto a = to_bf16(synthetic_matrix(SyntheticKind::heavy_tailed, s.m, s.k, seed + 1));
    run_everywhere({s.m, s.n, s.k, parse_gemm_format("bf16"), OutputType::fp32},
                   pack_bf16_weights(w, s.n, s.k), {a.data(), nullptr},
                   [&](const std::vector<float>& got, const std::string& what) {
                     EXPECT_LT(relative_error(got, to_fp32(a), to_fp32(w), s), kFp32Tolerance)
                         << what;
                   });
  }
}

class WeightOnlyGemm : public testing::TestWithParam<int> {};

TEST_P(WeightOnlyGemm, Agrees_with_fp64_within_bf16_rounding_of_the_weights) {
  const int bits = GetParam();
  std::uint64_t seed = 51;
  for (const int group : {32, 128}) {
    const GemmFormat format =
        parse_gemm_format("w" + std::to_string(bits) + "a16_g" + std::to_string(group));
    for (const Shape& s : shapes(seed, 2)) {
      SCOPED_TRACE(testing::Message() << "seed " << ++seed);
      const auto w = quantize_weights(synthetic_matrix(SyntheticKind::normal, s.n, s.k, seed), s.n,
                                      s.k, {bits, group, false});
      const auto a = to_bf16(synthetic_matrix(SyntheticKind::normal, s.m, s.k, seed + 1));
      // Weights become bf16(w * scale): seven mantissa bits, half a step is 2^-8.
      run_everywhere(
          {s.m, s.n, s.k, format, OutputType::fp32}, pack_weights(w, format), {a.data(), nullptr},
          [&](const std::vector<float>& got, const std::string& what) {
            EXPECT_LT(relative_error(got, to_fp32(a), dequantize(w), s), 0x1p-8 + kFp32Tolerance)
                << what;
          });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, WeightOnlyGemm, testing::Values(2, 3, 4, 5, 6, 8));

class Fp8Gemm : public testing::TestWithParam<const char*> {};

TEST_P(Fp8Gemm, Agrees_with_fp64_within_fp32_accumulation) {
  const GemmFormat format = parse_gemm_format(GetParam());
  std::uint64_t seed = 61;
  for (const Shape& s : shapes(seed, 4)) {
    SCOPED_TRACE(testing::Message() << "seed " << ++seed);
    const auto w = quantize_fp8(synthetic_matrix(SyntheticKind::normal, s.n, s.k, seed), s.n, s.k,
                                format.scale, 128);
    const auto a =
        quantize_fp8(synthetic_matrix(SyntheticKind::outlier_channels, s.m, s.k, seed + 1), s.m,
                     s.k, format.scale, 1);
    run_everywhere({s.m, s.n, s.k, format, OutputType::fp32}, pack_fp8_weights(w),
                   {a.values.data(), a.scales.data()},
                   [&](const std::vector<float>& got, const std::string& what) {
                     EXPECT_LT(relative_error(got, dequantize(a), dequantize(w), s), kFp32Tolerance)
                         << what;
                   });
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Fp8Gemm,
                         testing::Values("fp8_tensor", "fp8_token_channel", "fp8_block128"),
                         [](const auto& test) { return std::string(test.param); });

TEST(CpuGemm, Bf16_output_is_the_fp32_output_rounded_once) {
  const std::int64_t m = 21, n = 45, k = 200;
  const GemmFormat format = parse_gemm_format("w4a8_g128_float");
  const auto w =
      quantize_weights(synthetic_matrix(SyntheticKind::normal, n, k, 71), n, k, {4, 128, false});
  const auto a = quantize_activations(synthetic_matrix(SyntheticKind::normal, m, k, 72), m, k);
  const PackedWeights packed = pack_weights(w, format);
  const std::vector<float> want = reference_group_float(a, w);
  WorkerPool pool(1);
  CpuGemm gemm(pool);
  for (const CpuIsa isa : available_isas(cpu_features())) {
    const GemmDescriptor descriptor{m, n, k, format, OutputType::bf16};
    CpuGemmConfig config = choose_cpu_gemm_config(descriptor, cpu_features(), 1);
    config.isa = isa;
    std::vector<Bf16> out(static_cast<std::size_t>(m * n));
    gemm.run(descriptor, config, packed, {a.values.data(), a.scales.data()}, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(out[i].bits, kernels::to_bf16(want[i]).bits) << describe(descriptor, config);
    }
  }
}

TEST(CpuGemm, Weights_of_another_shape_or_format_are_refused) {
  const GemmFormat format = parse_gemm_format("w8a8");
  const auto packed = pack_from_fp32(std::vector<float>(64, 1.0F), 8, 8, format);
  WorkerPool pool(1);
  CpuGemm gemm(pool);
  float out = 0;
  EXPECT_THROW(gemm.run({1, 8, 16, format, OutputType::fp32}, packed, {}, &out), KernelBug);
  EXPECT_THROW(gemm.run({1, 8, 8, parse_gemm_format("w4a8"), OutputType::fp32}, packed, {}, &out),
               KernelBug);
}

}  // namespace
}  // namespace foretoken::kernels
