#include "calibrate/ledger/mlperf.h"

#include <gtest/gtest.h>

#include <cmath>

#include "calibrate/ledger/rules.h"

namespace foretoken::calibrate {
namespace {

LedgerRow offline_row() {
  LedgerRow row;
  row.harness = Harness::mlperf_offline;
  row.gpu = "H200";
  row.model = "llama2-70b-99.9";
  row.engine = "trtllm";
  row.version = "v5.1";
  row.origin = "Offline";
  row.output = 290;
  return row;
}

TEST(Mlperf, A_row_is_stated_when_its_round_gpu_and_model_have_published_settings) {
  LedgerRow row = offline_row();
  EXPECT_EQ(mlperf_excluded(row), "");
  EXPECT_EQ(mlperf_settings(row)->max_batch, 2048);
  row.version = "v4.1";
  EXPECT_EQ(mlperf_settings(row)->max_batch, 806);
  row.gpu = "B200";  // a preview, its settings unknown
  EXPECT_EQ(mlperf_settings(row), nullptr);
  EXPECT_NE(mlperf_excluded(row), "");
}

TEST(Mlperf, Rows_held_to_a_latency_or_to_another_power_are_left_out) {
  LedgerRow row = offline_row();
  row.origin = "Server";
  EXPECT_NE(mlperf_excluded(row), "");
  row = offline_row();
  row.system = "H200-SXM-141GBx8_TRT_MaxQ";
  EXPECT_NE(mlperf_excluded(row), "");
  row = offline_row();
  row.engine = "vLLM";
  EXPECT_NE(mlperf_excluded(row), "");
}

TEST(Mlperf, What_was_measured_does_not_decide) {
  for (const double measured : {1e-3, 1.0, 1e6}) {
    LedgerRow row = offline_row();
    row.measured["output_tok_s"] = measured;
    EXPECT_EQ(mlperf_excluded(row), "");
  }
}

// Mean of a lognormal clipped to low..high: its density between, and the shares beyond at the ends.
double clipped_mean(const LengthSpec::Side& side) {
  const double mu = std::log(side.median), s = side.sigma;
  const auto below = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2)); };
  const double low = static_cast<double>(side.low), high = static_cast<double>(side.high);
  const double a = (std::log(low) - mu) / s, b = (std::log(high) - mu) / s;
  return low * below(a) + high * (1 - below(b)) +
         std::exp(mu + s * s / 2) * (below(b - s) - below(a - s));
}

TEST(Mlperf, The_lengths_have_the_published_means) {
  const LengthSpec lengths = mlperf_lengths(offline_row());
  EXPECT_NEAR(clipped_mean(lengths.input), 221, 2);
  EXPECT_NEAR(clipped_mean(lengths.output), 290, 3);
  LedgerRow row = offline_row();
  row.gpu = "B200";
  row.model = "llama3.1-405b";
  row.output = 653;
  EXPECT_EQ(mlperf_lengths(row).input.high, 9400);
  EXPECT_EQ(mlperf_lengths(row).output.low, 653);
}

}  // namespace
}  // namespace foretoken::calibrate
