#include "sim/cost/work.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace foretoken {
namespace {

AttentionOp attention(int heads, int kv_heads, int head_dim) {
  AttentionOp op;
  op.heads = heads;
  op.kv_heads = kv_heads;
  op.head_dim = head_dim;
  return op;
}

TEST(Work, Causal_pairs_are_those_of_a_loop_over_tokens_and_windows) {
  for (const std::int64_t window : {0, 1, 7, 40, 1000}) {
    for (const std::int64_t context : {0, 3, 39, 100}) {
      for (const std::int64_t fresh : {1, 5, 64}) {
        std::int64_t pairs = 0;
        for (std::int64_t i = 1; i <= fresh; ++i) {
          pairs += window > 0 ? std::min(context + i, window) : context + i;
        }
        EXPECT_DOUBLE_EQ(attended_pairs({fresh, context}, window), static_cast<double>(pairs));
      }
    }
  }
}

TEST(Work, Prefill_counts_four_operations_a_pair_and_dimension) {
  AttentionOp op = attention(32, 8, 128);
  op.chunks = {{512, 0}, {16, 100}};
  // 512 x 513 / 2 = 131,328 pairs and 16 x 100 + 16 x 17 / 2 = 1,736.
  EXPECT_DOUBLE_EQ(prefill_flops(op), 4.0 * 32 * 128 * (131328 + 1736));
  // K and V of 512 + 116 tokens, 2 x 8 x 128 values of 2 bytes; Q in and O out of 528 tokens.
  EXPECT_DOUBLE_EQ(prefill_bytes(op), 2.0 * 8 * 128 * 2 * 628 + 2.0 * 32 * 128 * 2 * 528);
}

TEST(Work, Decode_reads_the_cache_in_its_own_format) {
  AttentionOp op = attention(32, 8, 128);
  op.decode = true;
  op.sequences = 4;
  op.kv_tokens = 1000;
  op.kv_cache = kFp8;
  EXPECT_DOUBLE_EQ(decode_bytes(op), 2.0 * 8 * 128 * 1000 + 2.0 * 32 * 128 * 2 * 4);
}

TEST(Work, Packed_weights_take_their_packed_bytes) {
  GemmOp op;
  op.m = 2;
  op.n = 1024;
  op.k = 512;
  op.weights = parse_format("int4/g128", FormatRole::weights);
  // 0.5 byte and a 2-byte scale every 128 values; activations and output bf16.
  EXPECT_DOUBLE_EQ(gemm_bytes(op), 1024 * 512 * (0.5 + 2.0 / 128) + 2 * 512 * 2 + 2 * 1024 * 2);
  EXPECT_DOUBLE_EQ(gemm_flops(op), 2.0 * 2 * 1024 * 512);
}

}  // namespace
}  // namespace foretoken
