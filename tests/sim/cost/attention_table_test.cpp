#include "sim/cost/attention_table.h"

#include <gtest/gtest.h>

#include <vector>

#include "sim/cost/assumptions.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

constexpr double kBandwidth = 1e12;

AttentionOp decode(std::int64_t batch, std::int64_t length) {
  AttentionOp op;
  op.decode = true;
  op.heads = op.kv_heads = 8;
  op.head_dim = 128;
  op.kv_cache = kBf16;
  op.sequences = batch;
  op.kv_tokens = batch * length;
  return op;
}

double work(const AttentionOp& op) { return assumed::kAttentionT0 + decode_bytes(op) / kBandwidth; }

struct Call {
  std::int64_t batch, length;
  double ratio;  // of the time over the work's
};

AttentionTable table(const std::vector<Call>& calls) {
  Profile profile;
  profile.parameters["device.memory_bandwidth"] = {kBandwidth, Provenance::measured, "test"};
  for (const Call& call : calls) {
    profile.samples["attention.decode.bf16"].samples.push_back(
        {{8, 8, 128, 0, call.batch, call.length},
         call.ratio * work(decode(call.batch, call.length))});
  }
  return AttentionTable(profile);
}

// As public tables are: up to 16384 cached tokens, small calls far from the work's time.
const std::vector<Call> kTriangle{{16, 64, 6},   {16, 256, 3},   {16, 1024, 1.2},
                                  {64, 64, 5.5}, {64, 256, 1.5}, {256, 64, 5}};

double ratio(const AttentionTable& attention, std::int64_t batch, std::int64_t length) {
  const AttentionOp op = decode(batch, length);
  return attention.price(op)->seconds / work(op);
}

TEST(AttentionTable, Samples_are_returned_as_they_were_measured) {
  const AttentionTable attention = table(kTriangle);
  for (const Call& call : kTriangle) {
    EXPECT_NEAR(ratio(attention, call.batch, call.length), call.ratio, 1e-9);
    EXPECT_TRUE(attention.price(decode(call.batch, call.length))->inside);
  }
}

// 256 sequences were measured with 64 tokens only, where launches rule (5); with 256 tokens the
// largest batch (64) takes 1.5, with 1024 tokens (16) 1.2.
TEST(AttentionTable, Beyond_the_largest_product_the_better_of_both_ways_out_holds) {
  const AttentionTable attention = table(kTriangle);
  EXPECT_NEAR(ratio(attention, 256, 256), 1.5, 1e-9);
  EXPECT_NEAR(ratio(attention, 256, 1024), 1.2, 1e-9);
  EXPECT_NEAR(ratio(attention, 4096, 4096), 1.2, 1e-9);
  EXPECT_FALSE(attention.price(decode(256, 256))->inside);
}

TEST(AttentionTable, Beyond_the_table_more_of_either_never_takes_less) {
  const AttentionTable attention = table(kTriangle);
  for (std::int64_t batch = 16; batch <= 4096; batch *= 2) {
    double last = 0;
    for (std::int64_t length = 1024; length <= 65536; length *= 2) {
      const double seconds = attention.price(decode(batch, length))->seconds;
      EXPECT_GT(seconds, last);
      last = seconds;
    }
  }
}

}  // namespace
}  // namespace foretoken
