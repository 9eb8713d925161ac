#include "sim/cost/attention_table.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/cost/work.h"

namespace foretoken {
namespace {

const AttentionRoofline kRoofline{1e-5, 3e14, 2e12};

AttentionOp prompts(int heads, int kv_heads, std::int64_t count, std::int64_t tokens,
                    std::int64_t context = 0) {
  return prefill_op({{heads, kv_heads, 128, 0, count, tokens, context}, 1}, kBf16);
}

AttentionOp rows(int heads, int kv_heads, std::int64_t sequences, std::int64_t tokens) {
  return decode_op({{heads, kv_heads, 128, 0, sequences, tokens}, 1}, kBf16);
}

// A table in which every operator takes `factor` times the roofline.
AttentionTable table_of(const std::vector<AttentionOp>& ops, const std::vector<double>& factors) {
  std::vector<double> seconds;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    seconds.push_back(factors[i] * kRoofline.seconds(ops[i]));
  }
  return {ops, seconds, kRoofline};
}

TEST(AttentionTable, The_roofline_is_the_larger_of_operations_and_bytes_or_bytes_alone) {
  const AttentionOp prefill = prompts(32, 8, 1, 4096);
  EXPECT_DOUBLE_EQ(kRoofline.seconds(prefill), 1e-5 + prefill_flops(prefill) / 3e14);
  const AttentionOp decode = rows(32, 8, 16, 1000);
  EXPECT_DOUBLE_EQ(kRoofline.seconds(decode), 1e-5 + decode_bytes(decode) / 2e12);
}

TEST(AttentionTable, Samples_become_operators_with_their_window_applied) {
  const AttentionOp op = decode_op({{8, 2, 64, 128, 3, 1000}, 1}, kFp8);
  EXPECT_EQ(op.kv_tokens, 3 * 128);
  EXPECT_EQ(op.window, 128);
  const AttentionOp prefill = prefill_op({{8, 2, 64, 0, 2, 100, 50}, 1}, kFp8);
  EXPECT_EQ(prefill.chunks.size(), 2u);
  EXPECT_EQ(prefill.chunks[1].context, 50);
}

TEST(AttentionTable, A_sample_is_returned_exactly) {
  const auto table = table_of({rows(32, 8, 16, 1000), rows(32, 8, 1, 1000)}, {1.3, 0.8});
  EXPECT_NEAR(table.predict(rows(32, 8, 16, 1000)).log_residual, std::log(1.3), 1e-12);
  EXPECT_NEAR(table.predict(rows(32, 8, 1, 1000)).log_residual, std::log(0.8), 1e-12);
  EXPECT_EQ(table.predict(rows(32, 8, 1, 1000)).distance, 0);
}

TEST(AttentionTable, Unequal_prompts_count_as_equal_ones_with_as_much_work) {
  // Two prompts of 1000 tokens, one of them cut into two chunks: the same pairs and tokens.
  const auto table = table_of({prompts(32, 8, 2, 1000), prompts(32, 8, 2, 4000)}, {1.5, 0.5});
  AttentionOp cut = prompts(32, 8, 1, 1000);
  cut.chunks.push_back({400, 0});
  cut.chunks.push_back({600, 400});
  EXPECT_NEAR(table.predict(cut).log_residual, std::log(1.5), 1e-9);
}

TEST(AttentionTable, Far_from_all_samples_the_roofline_remains) {
  const auto table = table_of({rows(32, 8, 1, 64)}, {2.0});
  // 12 doublings of length, 10 of sequences and so of parallelism, 25 to the prior: 344 squared.
  EXPECT_NEAR(table.predict(rows(32, 8, 1024, 64 << 12)).log_residual,
              std::log(2.0) / (1 + 344.0 / 25), 1e-9);
  EXPECT_FALSE(table.predict(rows(32, 8, 1024, 64 << 12)).inside);
}

TEST(AttentionTable, Between_samples_is_inside_and_beyond_is_not) {
  const auto table = table_of({rows(32, 8, 1, 64), rows(32, 8, 64, 8192)}, {1, 1});
  EXPECT_TRUE(table.predict(rows(32, 8, 8, 1000)).inside);
  EXPECT_FALSE(table.predict(rows(32, 8, 128, 1000)).inside);
  EXPECT_FALSE(table.predict(rows(32, 8, 8, 10000)).inside);
}

}  // namespace
}  // namespace foretoken
