#include "sim/cost/kernel_rooflines.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/cost/attention_roofline.h"
#include "sim/cost/gemm_roofline.h"

namespace foretoken {
namespace {

AttentionCall call_of(double heads, double kv_heads, double batch, double tokens) {
  AttentionCall call;
  call.heads = heads;
  call.kv_heads = kv_heads;
  call.score_dim = call.value_dim = 128;
  call.kv_bytes = 2 * kv_heads * 128 * 2;
  call.batch = batch;
  call.tokens = tokens;
  return call;
}

TEST(PrefillRoofline, Long_prompts_cost_their_pairs) {
  const PrefillRoofline roofline{0, 1e15, 1e30, 0, 1};
  // 32 heads x 4 x 128 operations x (8192 x 8193 / 2 + 64 x 128) pairs.
  const double pairs = 8192.0 * 8193 / 2 + 64 * 128;
  EXPECT_NEAR(roofline.seconds(call_of(32, 8, 1, 8192)), 32 * 512 * pairs / 1e15, 1e-15);
}

TEST(PrefillRoofline, A_window_makes_long_prompts_linear) {
  const PrefillRoofline roofline{0, 1e15, 1e30, 0, 1};
  AttentionCall call = call_of(32, 8, 1, 16384);
  call.window = 128;
  const double short_prompt = roofline.seconds(call);
  call.tokens = 32768;
  EXPECT_NEAR(roofline.seconds(call) / short_prompt, 2, 0.02);
}

TEST(DecodeRoofline, Long_caches_cost_their_bytes_from_memory) {
  const DecodeRoofline roofline{1e-6, 2e12, 8e12, 5e7, 0, 0, 0, 0, 1e30, 132};
  const AttentionCall call = call_of(32, 8, 64, 8192);
  const double bytes = 64 * (8192 * call.kv_bytes + 32 * 256 * 2);
  EXPECT_NEAR(roofline.seconds(call), 1e-6 + bytes / 2e12, 1e-3 * bytes / 2e12);
}

TEST(DecodeRoofline, What_fits_in_the_cache_is_read_from_there) {
  const DecodeRoofline roofline{0, 2e12, 8e12, 5e7, 0, 0, 0, 0, 1e30, 132};
  const AttentionCall call = call_of(32, 8, 1, 1024);  // 4.2 MB
  EXPECT_NEAR(roofline.seconds(call), (1024 * call.kv_bytes + 32 * 256 * 2) / 8e12, 1e-9);
}

TEST(DecodeRoofline, A_sequence_with_one_query_head_per_kv_head_is_not_split) {
  const DecodeRoofline roofline{0, 1e30, 1e30, 1, 0, 0, 1e-9, 0, 1e30, 132};
  EXPECT_NEAR(roofline.seconds(call_of(4, 4, 1, 65536)), 65536e-9, 1e-9);
  EXPECT_NEAR(roofline.seconds(call_of(4, 1, 1, 65536)), 0, 1e-9);
}

TEST(MoeRoofline, Counts_the_experts_that_get_a_token) {
  MoeCall call{1, 4096, 1536, 128, 32, 8, 0, 2};
  EXPECT_NEAR(active_experts(call), 2, 1e-12);  // 8 of 128 experts, a quarter of them here
  call.tokens = 1e6;
  EXPECT_NEAR(active_experts(call), 32, 1e-9);
  EXPECT_NEAR(expert_rows(call, 0.5), 2e6, 1e-3);
  call.skew = 1;  // three further ranks: 1 + 0.5 x 3
  EXPECT_NEAR(expert_rows(call, 0.5), 5e6, 1e-3);
}

TEST(MoeRoofline, One_token_reads_the_weights_of_its_experts) {
  const MoeRoofline roofline{0, 1e30, 2e12, 8e12, 1, 1e30, 0, 0};
  const MoeCall call{1, 4096, 1536, 128, 128, 8, 0, 2};
  EXPECT_NEAR(roofline.seconds(call), 8 * 3.0 * 4096 * 1536 * 2 / 2e12, 1e-12);
}

TEST(PassRoofline, Few_rows_use_few_SMs) {
  const PassRoofline roofline{1e-6, 1e10, 1e12, 1e12, 1, 100};
  EXPECT_NEAR(roofline.seconds({2, 1000, 2e4}), 1e-6 + 1e-6, 1e-12);
  EXPECT_NEAR(roofline.seconds({1e6, 1000, 2e9}), 1e-6 + 2e-3, 1e-9);
}

TEST(GemmRoofline, Integer_kernels_that_do_not_split_k_take_its_length) {
  GemmOp op;
  op.weights = op.activations = kInt8;
  op.m = 64;
  op.n = 1024;
  op.k = 8192;
  GemmRoofline roofline{0, 1e18, 1e18, 132};
  const double without = roofline.seconds(op);
  roofline.per_depth = 4e-9;
  EXPECT_NEAR(roofline.seconds(op), 8192 * 4e-9, 1e-8);
  op.m = vector_rows(op);
  EXPECT_EQ(op.m, 4);
  EXPECT_LE(roofline.seconds(op), without);
  op.activations = kBf16;
  EXPECT_EQ(vector_rows(op), 15);
  op.weights = kBf16;
  EXPECT_EQ(vector_rows(op), 0);
}

}  // namespace
}  // namespace foretoken
