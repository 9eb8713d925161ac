// One layer of llama-3.1-8b in its real shape, end to end, in every format.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "reference_layer.h"

namespace foretoken::kernels {
namespace {

TEST(Llama31_8bLayer, Matches_fp32_in_every_format_within_the_error_that_the_format_predicts) {
  const LayerWeights weights = random_layer_weights(kLlama31_8b, 1);
  fmt::print("{:<20} {:>10} {:>10}\n", "format", "measured", "predicted");
  for (const GemmFormat& format : all_gemm_formats()) {
    SCOPED_TRACE(to_string(format));
    const LayerComparison result =
        compare_layer(kLlama31_8b, weights, format, KvFormat::bf16, 5, 100);
    fmt::print("{:<20} {:>10.5f} {:>10.5f}\n", to_string(format), result.measured,
               result.predicted);
    EXPECT_LT(result.measured, 1.5 * result.predicted);
    EXPECT_GT(result.measured, 0.5 * result.predicted);
  }
}

}  // namespace
}  // namespace foretoken::kernels
