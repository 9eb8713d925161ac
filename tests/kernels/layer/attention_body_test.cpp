// The CUDA attention's own code on an emulated block.
#include "kernels/layer/attention_body.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../gemm/emulated_gpu.h"
#include "kernels/gemm/synthetic.h"
#include "kernels/layer/attention.h"
#include "kernels/layer/cuda_layer.h"

namespace foretoken::kernels {
namespace {

std::vector<Bf16> random_bf16(std::int64_t count, std::uint64_t seed) {
  std::vector<Bf16> out;
  for (const float x : synthetic_matrix(SyntheticKind::normal, 1, count, seed)) {
    out.push_back(to_bf16(x));
  }
  return out;
}

struct Case {
  int heads, kv_heads;
  std::int64_t length, new_tokens, window;
  int key_splits;
};

// Two sequences, the second half as long, with interleaved pages.
template <int Dim>
void check(const Case& c, KvFormat format, std::uint64_t seed) {
  PagedKvCache cache({c.kv_heads, Dim, format}, 2 * (c.length / kKvBlockTokens + 1));
  std::vector<std::int32_t> tables[2];
  for (std::int32_t block = 0; block < cache.blocks(); ++block) {
    tables[block % 2].push_back(block);
  }
  const std::int64_t lengths[2] = {c.length, (c.length + 1) / 2};
  const std::int64_t asking[2] = {c.new_tokens, std::min(c.new_tokens, lengths[1])};
  const std::int64_t width = std::int64_t{c.kv_heads} * Dim;
  for (int s = 0; s < 2; ++s) {
    for (std::int64_t p = 0; p < lengths[s]; ++p) {
      const std::uint64_t row = seed + static_cast<std::uint64_t>(10000 * s + 2 * p);
      cache.store(tables[s], p, random_bf16(width, row), random_bf16(width, row + 1));
    }
  }
  const CudaSequence sequences[2] = {{tables[0].data(), lengths[0], asking[0], 0},
                                     {tables[1].data(), lengths[1], asking[1], asking[0]}};
  const std::int64_t tokens = asking[0] + asking[1];
  const auto queries = random_bf16(tokens * c.heads * Dim, seed + 5);
  std::vector<Bf16> out(queries.size(), Bf16{0x7fc0});
  std::vector<float> partial(static_cast<std::size_t>(tokens * c.heads * c.key_splits * (Dim + 2)),
                             std::nanf(""));
  CudaAttentionArgs args;
  args.queries = reinterpret_cast<const std::uint16_t*>(queries.data());
  args.out = reinterpret_cast<std::uint16_t*>(out.data());
  // Row 0 of block 0, head 0 is where each side begins.
  const std::int32_t first_block[] = {0};
  args.keys = cache.key(first_block, 0, 0).values;
  args.values = cache.value(first_block, 0, 0).values;
  args.key_scales = cache.key_scales();
  args.value_scales = cache.value_scales();
  args.sequences = sequences;
  args.format = format;
  args.heads = c.heads;
  args.kv_heads = c.kv_heads;
  args.scale = 1.0F / std::sqrt(static_cast<float>(Dim));
  args.window = c.window;
  args.key_splits = c.key_splits;
  args.partial = partial.data();
  const std::int64_t rows = c.new_tokens * (c.heads / c.kv_heads);
  for (std::int64_t z = 0; z < 2; ++z) {
    for (std::int64_t y = 0; y < c.kv_heads; ++y) {
      for (std::int64_t x = 0; x < (rows + kAttentionRows - 1) / kAttentionRows * c.key_splits;
           ++x) {
        EmulatedBlock block(kAttentionThreads, attention_shared_bytes(Dim), {});
        block.x = x;
        block.y = y;
        block.z = z;
        block.run([&](EmulatedLane& lane) { AttentionBlock<Dim, EmulatedLane>(lane, args).run(); });
      }
    }
  }
  for (std::int64_t query = 0; c.key_splits > 1 && query < tokens * c.heads; ++query) {
    for (int i = 0; i < Dim; ++i) {
      AttentionBlock<Dim, EmulatedLane>::combine(args, query, i);
    }
  }
  for (int s = 0; s < 2; ++s) {
    const std::int64_t at = sequences[s].first_token * c.heads * Dim;
    const auto want = reference_attention({c.heads, args.scale, c.window}, cache,
                                          {tables[s], lengths[s], asking[s]}, queries.data() + at);
    for (std::size_t i = 0; i < want.size(); ++i) {
      // As on the CPU: bf16 weights and results of averages of N(0, 1) values.
      ASSERT_NEAR(to_float(out[static_cast<std::size_t>(at) + i]), want[i],
                  0.01 * (1 + std::fabs(want[i])))
          << "sequence " << s << " value " << i;
    }
  }
}

TEST(EmulatedAttention, Prefill_and_decode_agree_with_fp64_in_every_cache_format) {
  std::uint64_t seed = 0;
  for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
    for (const Case& c :
         {Case{4, 2, 70, 70, 0, 1}, Case{8, 2, 150, 20, 0, 1}, Case{4, 1, 300, 1, 0, 3},
          Case{3, 3, 200, 130, 50, 1}, Case{8, 1, 257, 1, 40, 2}}) {
      SCOPED_TRACE(testing::Message() << to_string(format) << " length " << c.length);
      check<128>(c, format, ++seed * 100000);
      check<64>(c, format, seed * 100000 + 50000);
    }
  }
}

TEST(CudaAttention, Splits_keys_only_where_blocks_are_few_and_contexts_long) {
  // 1 sequence x 8 kv heads = 8 blocks; 2 x 132 / 8 = 33 wanted; 32,768 / 64 / 4 = 128 possible.
  EXPECT_EQ(attention_key_splits(1, 8, 4, 32768, 132), 33);
  // 256 sequences fill the device.
  EXPECT_EQ(attention_key_splits(256, 8, 4, 32768, 132), 1);
  // 500 positions are 8 tiles: at most 2 splits.
  EXPECT_EQ(attention_key_splits(1, 8, 4, 500, 132), 2);
}

}  // namespace
}  // namespace foretoken::kernels
