#include "kernels/layer/transformer_layer.h"

#include <gtest/gtest.h>

#include "reference_layer.h"

namespace foretoken::kernels {
namespace {

// llama-3.1-8b's proportions at an eighth of its width.
constexpr LayerShape kSmall{512, 1792, 4, 1, 128, 1e-5F};

class SmallLayer : public testing::TestWithParam<GemmFormat> {};

TEST_P(SmallLayer, Matches_fp32_within_the_error_that_its_format_predicts) {
  const LayerWeights weights = random_layer_weights(kSmall, 1);
  const LayerComparison result =
      compare_layer(kSmall, weights, GetParam(), KvFormat::bf16, 33, 100);
  RecordProperty("measured", std::to_string(result.measured));
  RecordProperty("predicted", std::to_string(result.predicted));
  EXPECT_LT(result.measured, 1.5 * result.predicted);
  // Far below the prediction would mean that the format was not applied.
  EXPECT_GT(result.measured, 0.5 * result.predicted);
}

INSTANTIATE_TEST_SUITE_P(Formats, SmallLayer, testing::ValuesIn(all_gemm_formats()),
                         [](const auto& test) { return to_string(test.param); });

TEST(TransformerLayer, A_quantised_kv_cache_adds_little_error) {
  const LayerWeights weights = random_layer_weights(kSmall, 1);
  const GemmFormat bf16 = parse_gemm_format("bf16");
  const double plain = compare_layer(kSmall, weights, bf16, KvFormat::bf16, 33, 100).measured;
  const double int8 = compare_layer(kSmall, weights, bf16, KvFormat::int8, 33, 100).measured;
  const double fp8 = compare_layer(kSmall, weights, bf16, KvFormat::fp8_e4m3, 33, 100).measured;
  // Relative errors of one stored row: int8 3 sigma / 127 / sqrt(12) = 0.7 %, fp8 2^-4 / sqrt(3) x
  // 0.7 = 2.5 %; attention averages rows, and its branch is one part of what the layer adds.
  EXPECT_GT(int8, plain);
  EXPECT_LT(int8, plain + 0.007);
  EXPECT_GT(fp8, int8);
  EXPECT_LT(fp8, plain + 0.025);
}

}  // namespace
}  // namespace foretoken::kernels
