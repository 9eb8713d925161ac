#include "sim/cost/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/error.h"

namespace foretoken {
namespace {

void set(Profile& profile, const char* key, double value,
         Provenance provenance = Provenance::derived) {
  profile.parameters[key] = {value, provenance, "test"};
}

Profile datasheet() {
  Profile profile;
  profile.name = "datasheet";
  set(profile, "device.memory", 80e9);
  set(profile, "device.memory_bandwidth", 1e12);
  set(profile, "device.sms", 1);
  set(profile, "gemm.bf16.peak", 1e14);
  set(profile, "gemm.bf16.efficiency", 0.8, Provenance::assumed);
  set(profile, "gemm.bf16.t0", 2e-6);
  set(profile, "gemm.bf16.bandwidth_efficiency", 0.5);
  return profile;
}

GemmOp gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmOp op;
  op.m = m;
  op.n = n;
  op.k = k;
  return op;
}

Profile measured() {
  Profile profile = datasheet();
  SampleTable& table = profile.samples["gemm.bf16"];
  table.provenance = Provenance::measured;
  for (const std::int64_t n : {1024, 4096}) {
    for (std::int64_t m = 1; m <= 256; m *= 4) {
      table.samples.push_back({{m, n, 1024}, 1e-5 * static_cast<double>(m + n)});
    }
  }
  set(profile, "gemm.bf16.sd_family", 0.02);
  set(profile, "gemm.bf16.sd_shape", 0.03);
  set(profile, "gemm.bf16.sd_distance", 0.05);
  return profile;
}

TEST(CostModel, A_datasheet_gemm_is_a_roofline_as_weak_as_its_weakest_number) {
  const CostModel model(datasheet());
  // 2 x 1024^3 operations at 0.8e14/s.
  const Estimate estimate = model.gemm(gemm(1024, 1024, 1024));
  EXPECT_DOUBLE_EQ(estimate.seconds, 2e-6 + 2.0 * 1024 * 1024 * 1024 / 0.8e14);
  EXPECT_EQ(estimate.provenance, Provenance::assumed);
  EXPECT_GT(estimate.sd_family, 0);
  EXPECT_FALSE(estimate.extrapolated);
}

TEST(CostModel, An_exact_hit_returns_the_measured_time_as_measured) {
  const CostModel model(measured());
  const Estimate estimate = model.gemm(gemm(16, 4096, 1024));
  EXPECT_NEAR(estimate.seconds, 1e-5 * (16 + 4096), 1e-12);
  EXPECT_EQ(estimate.provenance, Provenance::measured);
  EXPECT_FALSE(estimate.extrapolated);
  EXPECT_DOUBLE_EQ(estimate.sd_family, 0.02);
  EXPECT_DOUBLE_EQ(estimate.sd_shape, 0);  // this shape's effect is in the measurement
}

TEST(CostModel, Spread_grows_with_the_distance_to_the_samples) {
  const CostModel model(measured());
  // n = 2048 is one doubling from either sampled n, at a sampled m: sqrt(0.03^2 + 0.05^2).
  EXPECT_NEAR(model.gemm(gemm(16, 2048, 1024)).sd_shape, std::hypot(0.03, 0.05), 1e-12);
  EXPECT_GT(model.gemm(gemm(16, 65536, 1024)).sd_shape, model.gemm(gemm(16, 2048, 1024)).sd_shape);
}

TEST(CostModel, Of_a_sampled_shape_only_the_distance_along_m_is_uncertain) {
  // m = 32 is half way from 16 to 64: one doubling, which counts for 0.7.
  const CostModel model(measured());
  EXPECT_NEAR(model.gemm(gemm(32, 4096, 1024)).sd_shape, 0.7 * 0.05, 1e-12);
}

TEST(CostModel, Inside_the_samples_is_measured_and_outside_leans_on_the_datasheet) {
  const CostModel model(measured());
  EXPECT_EQ(model.gemm(gemm(100, 2000, 1024)).provenance, Provenance::measured);
  const Estimate outside = model.gemm(gemm(100, 2000, 4096));
  EXPECT_TRUE(outside.extrapolated);
  EXPECT_EQ(outside.provenance, Provenance::assumed);
}

TEST(CostModel, Formats_without_numbers_borrow_those_of_their_arithmetic_as_derived) {
  Profile profile = datasheet();
  set(profile, "gemm.bf16.efficiency", 0.8, Provenance::measured);
  const CostModel model(profile);
  GemmOp op = gemm(1, 8192, 8192);
  op.weights = parse_format("int4/g128", FormatRole::weights);
  const Estimate narrow = model.gemm(op);
  EXPECT_EQ(narrow.provenance, Provenance::derived);
  // Bound by the weights: 0.5 + 2/128 byte against 2.
  EXPECT_LT(narrow.seconds, 0.4 * model.gemm(gemm(1, 8192, 8192)).seconds);
}

TEST(CostModel, A_format_without_peak_or_samples_is_refused_with_its_key) {
  const CostModel model(datasheet());
  GemmOp op = gemm(1, 64, 64);
  op.weights = kFp8;
  op.activations = kFp8;
  try {
    model.gemm(op);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("gemm.fp8.peak"), std::string::npos) << error.what();
  }
}

TEST(CostModel, A_profile_without_bandwidth_is_refused) {
  Profile profile = datasheet();
  profile.parameters.erase("device.memory_bandwidth");
  EXPECT_THROW(CostModel{profile}, InputError);
}

TEST(CostModel, Samples_of_an_unknown_format_or_with_a_broken_row_are_refused) {
  Profile unknown = datasheet();
  unknown.samples["gemm.int9"].samples.push_back({{1, 1, 1}, 1e-6});
  EXPECT_THROW(CostModel{unknown}, InputError);
  Profile broken = datasheet();
  broken.samples["gemm.bf16"].samples.push_back({{1, 64, 64}, -1e-6});
  EXPECT_THROW(CostModel{broken}.gemm(gemm(1, 64, 64)), InputError);
}

TEST(CostModel, Prefill_takes_its_operations_at_the_stated_share_of_the_peak) {
  Profile profile = datasheet();
  set(profile, "attention.prefill.efficiency", 0.25, Provenance::measured);
  set(profile, "attention.prefill.t0", 1e-6, Provenance::measured);
  set(profile, "attention.decode.bandwidth_efficiency", 0.5, Provenance::measured);
  set(profile, "attention.sd_family", 0.07);
  const CostModel model(profile);
  AttentionOp op;
  op.heads = 32;
  op.kv_heads = 8;
  op.head_dim = 128;
  op.chunks = {{2048, 0}};
  const Estimate estimate = model.attention(op);
  EXPECT_DOUBLE_EQ(estimate.seconds, 1e-6 + 4.0 * 32 * 128 * (2048.0 * 2049 / 2) / 0.25e14);
  EXPECT_EQ(estimate.provenance, Provenance::derived);
  EXPECT_EQ(estimate.sd_family, 0.07);
}

TEST(CostModel, Decode_takes_its_bytes_at_the_stated_share_of_the_bandwidth) {
  Profile profile = datasheet();
  set(profile, "attention.decode.t0", 3e-6);
  set(profile, "attention.decode.bandwidth_efficiency", 0.5);
  const CostModel model(profile);
  AttentionOp op;
  op.decode = true;
  op.heads = 32;
  op.kv_heads = 8;
  op.head_dim = 128;
  op.sequences = 10;
  op.kv_tokens = 100000;
  const double bytes = 2.0 * 8 * 128 * 2 * 100000 + 2.0 * 32 * 128 * 2 * 10;
  EXPECT_DOUBLE_EQ(model.attention(op).seconds, 3e-6 + bytes / 0.5e12);
}

// 1e6 cached tokens of 4 KiB for 8 heads, each read by four query heads: 16.4 GB at 1e13 bytes/s.
TEST(CostModel, Kernels_that_read_once_a_query_head_take_at_least_the_rate_of_the_cache) {
  Profile profile = datasheet();
  profile.samples["attention.decode.bf16"].samples.push_back({{32, 8, 128, 0, 100, 10000}, 1e-3});
  AttentionOp op;
  op.decode = true;
  op.heads = 32;
  op.kv_heads = 8;
  op.head_dim = 128;
  op.kv_cache = kBf16;
  op.sequences = 100;
  op.kv_tokens = 1000000;
  EXPECT_NEAR(CostModel(profile).attention(op).seconds, 1e-3, 1e-12);
  set(profile, "attention.decode.per_head_bandwidth", 1e13);
  EXPECT_NEAR(CostModel(profile).attention(op).seconds, 4 * 4.096e-4, 1e-12);
  set(profile, "attention.decode.per_head_bandwidth", 1e14);
  EXPECT_NEAR(CostModel(profile).attention(op).seconds, 1e-3, 1e-12);
}

TEST(CostModel, Elementwise_and_host_are_lines) {
  Profile profile = datasheet();
  set(profile, "elementwise.t0", 1e-6, Provenance::measured);
  set(profile, "elementwise.bandwidth_efficiency", 0.8, Provenance::measured);
  set(profile, "host.step", 1e-3);
  set(profile, "host.sequence", 1e-5);
  set(profile, "host.prefill_step", 6e-3);
  const CostModel model(profile);
  EXPECT_DOUBLE_EQ(model.elementwise({3000000, 1000000}).seconds, 1e-6 + 4e6 / 0.8e12);
  EXPECT_DOUBLE_EQ(model.host(false, 100).seconds, 1e-3 + 100 * 1e-5);
  EXPECT_DOUBLE_EQ(model.host(true, 100).seconds, 1e-3 + 100 * 1e-5 + 6e-3);
  EXPECT_EQ(model.host(true, 1).provenance, Provenance::derived);
  EXPECT_EQ(model.host_request().provenance, Provenance::assumed);
}

TEST(CostModel, Price_dispatches_on_what_an_operator_is) {
  const CostModel model(measured());
  Operator op;
  op.what = gemm(16, 4096, 1024);
  EXPECT_DOUBLE_EQ(model.price(op).seconds, model.gemm(gemm(16, 4096, 1024)).seconds);
  op.what = ElementwiseOp{100, 100};
  EXPECT_DOUBLE_EQ(model.price(op).seconds, model.elementwise({100, 100}).seconds);
  op.what = CollectiveOp{};
  EXPECT_THROW(model.price(op), InternalError);
}

TEST(CostModel, Two_models_of_one_profile_agree_whatever_was_asked_before) {
  const CostModel a(measured());
  const CostModel b(measured());
  a.gemm(gemm(7, 777, 999));
  a.gemm(gemm(1, 4096, 1024));
  for (std::int64_t m = 1; m < 600; m += 13) {
    const Estimate x = a.gemm(gemm(m, 3000, 2000));
    const Estimate y = b.gemm(gemm(m, 3000, 2000));
    EXPECT_EQ(x.seconds, y.seconds);
    EXPECT_EQ(x.shape_key, y.shape_key);
  }
}

}  // namespace
}  // namespace foretoken
