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

struct Layout {
  int heads = 0, kv_heads = 0, head_dim = 128;
};

AttentionOp decode_of(const Layout& layout, std::int64_t batch, std::int64_t length) {
  AttentionOp op = decode(batch, length);
  op.heads = layout.heads;
  op.kv_heads = layout.kv_heads;
  op.head_dim = layout.head_dim;
  return op;
}

AttentionOp prefill_of(const Layout& layout, int batch, std::int64_t prompt, std::int64_t window) {
  AttentionOp op = decode_of(layout, 0, 0);
  op.decode = false;
  op.window = window;
  op.chunks.assign(static_cast<std::size_t>(batch), {prompt, 0});
  return op;
}

// Each layout takes its own multiple of the work: 2, 3, ...
AttentionTable of_layouts(const std::vector<Layout>& layouts) {
  Profile profile;
  profile.parameters["device.memory_bandwidth"] = {kBandwidth, Provenance::measured, "test"};
  double multiple = 2;
  for (const Layout& layout : layouts) {
    for (const std::int64_t batch : {1, 4, 16, 64}) {
      profile.samples["attention.decode.bf16"].samples.push_back(
          {{layout.heads, layout.kv_heads, layout.head_dim, 0, batch, 1024},
           multiple * work(decode_of(layout, batch, 1024))});
    }
    multiple += 1;
  }
  return AttentionTable(profile);
}

double multiple(const AttentionTable& attention, const Layout& layout, std::int64_t batch) {
  const AttentionOp op = decode_of(layout, batch, 1024);
  return attention.price(op)->seconds / work(op);
}

// 4 KV heads of 32 sequences are 8 of 16: the same tiles of the same kernel.
TEST(AttentionTable, Another_layout_stands_in_at_the_batch_with_as_many_heads) {
  const AttentionTable attention = table(kTriangle);
  const auto borrowed = attention.price(decode_of({4, 4}, 32, 256));
  EXPECT_NEAR(borrowed->seconds, attention.price(decode(16, 256))->seconds, 1e-15);
  EXPECT_TRUE(borrowed->inside);
  EXPECT_EQ(borrowed->provenance, Provenance::derived);
  EXPECT_FALSE(attention.price(decode_of({4, 4, 64}, 32, 256))->inside);
  EXPECT_FALSE(attention.price(decode_of({4, 1}, 32, 256))->inside);
}

// 256 sequences of 4 KV heads were not measured; 64 of 16 were.
TEST(AttentionTable, Beyond_its_own_samples_a_layout_follows_one_that_was_measured_there) {
  Profile profile;
  profile.parameters["device.memory_bandwidth"] = {kBandwidth, Provenance::measured, "test"};
  auto& samples = profile.samples["attention.decode.bf16"].samples;
  for (const std::int64_t batch : {1, 4, 16, 64}) {
    const Layout few{4, 4}, many{16, 16};
    samples.push_back({{4, 4, 128, 0, batch, 1024}, 3 * work(decode_of(few, batch, 1024))});
    samples.push_back({{16, 16, 128, 0, batch, 1024},
                       (batch == 64 ? 7 : 5) * work(decode_of(many, batch, 1024))});
  }
  const AttentionTable attention(profile);
  EXPECT_NEAR(multiple(attention, {4, 4}, 64), 3, 1e-9);
  EXPECT_NEAR(multiple(attention, {4, 4}, 256), 7, 1e-9);
  EXPECT_TRUE(attention.price(decode_of({4, 4}, 256, 1024))->inside);
  EXPECT_EQ(attention.price(decode_of({4, 4}, 256, 1024))->provenance, Provenance::derived);
  EXPECT_NEAR(multiple(attention, {4, 4}, 1024), 3, 1e-9);  // beyond both: its own goes on
  EXPECT_FALSE(attention.price(decode_of({4, 4}, 1024, 1024))->inside);
}

TEST(AttentionTable, The_nearest_layout_runs_the_same_kernel) {
  const AttentionTable attention = of_layouts({{16, 4}, {8, 8}, {64, 4}, {16, 4, 64}});
  EXPECT_NEAR(multiple(attention, {16, 16}, 4), 3, 1e-9);  // a KV head for each query head
  EXPECT_NEAR(multiple(attention, {8, 2}, 4), 2, 1e-9);    // four query heads share one
  EXPECT_NEAR(multiple(attention, {40, 4}, 4), 4, 1e-9);   // ten: nearer to sixteen than to four
  EXPECT_NEAR(multiple(attention, {16, 2, 64}, 4), 5, 1e-9);
  EXPECT_NEAR(multiple(attention, {16, 2, 80}, 4), 5, 1e-9);  // 80 is nearer to 64 than to 128
}

// Of 256 tokens each sees at most 64: as many pairs as a prompt of 169 has (64 x 65 / 2 + 192 x
// 64).
TEST(AttentionTable, A_window_is_a_shorter_prompt_but_not_the_reverse) {
  Profile profile;
  profile.parameters["device.memory_bandwidth"] = {kBandwidth, Provenance::measured, "test"};
  profile.parameters["gemm.bf16.peak"] = {1e12, Provenance::measured, "test"};
  const auto compute = [](const AttentionOp& op) {
    return assumed::kAttentionT0 + prefill_flops(op) / 1e12;
  };
  auto& samples = profile.samples["attention.prefill.bf16"].samples;
  for (const std::int64_t prompt : {64, 169, 256}) {
    samples.push_back({{8, 8, 128, 0, 1, prompt},
                       (prompt == 169 ? 7 : 2) * compute(prefill_of({8, 8}, 1, prompt, 0))});
  }
  const AttentionOp windowed = prefill_of({8, 8}, 1, 256, 64);
  EXPECT_NEAR(AttentionTable(profile).price(windowed)->seconds / compute(windowed), 7, 0.05);

  for (Sample& sample : samples) {
    sample.shape[3] = 64;
  }
  EXPECT_FALSE(AttentionTable(profile).price(prefill_of({8, 8}, 1, 256, 0)).has_value());
}

}  // namespace
}  // namespace foretoken
