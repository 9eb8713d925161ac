#include "kernels/layer/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/gemm/synthetic.h"

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
  int heads, kv_heads, head_dim;
  std::int64_t length, new_tokens, window;
};

// A cache whose blocks are handed out backwards.
struct Filled {
  std::vector<std::int32_t> table;
  PagedKvCache cache;

  Filled(const Case& c, KvFormat format, std::uint64_t seed)
      : cache({c.kv_heads, c.head_dim, format}, c.length / kKvBlockTokens + 1) {
    for (std::int64_t block = cache.blocks() - 1; block >= 0; --block) {
      table.push_back(static_cast<std::int32_t>(block));
    }
    const std::int64_t width = std::int64_t{c.kv_heads} * c.head_dim;
    for (std::int64_t p = 0; p < c.length; ++p) {
      cache.store(table, p, random_bf16(width, seed + static_cast<std::uint64_t>(2 * p)),
                  random_bf16(width, seed + static_cast<std::uint64_t>(2 * p + 1)));
    }
  }
};

// Results are averages of N(0, 1) values. bf16 results round by 2^-9 relative; prefill also rounds
// its softmax weights to bf16, whose errors average out: 1 % of a unit is ample, and a wrong mask,
// head or page moves results by 10 % of one and more.
constexpr double kTolerance = 0.01;

void expect_close(const std::vector<Bf16>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(to_float(got[i]), want[i], kTolerance * (1 + std::fabs(want[i]))) << i;
  }
}

constexpr Bf16 kPoison{0x7fc0};  // NaN: what was not written does not pass for a result

TEST(AttentionPrefill, Agrees_with_the_definition_in_fp64_on_every_instruction_set) {
  const std::vector<Case> cases{
      {4, 4, 32, 1, 1, 0},       {8, 2, 64, 40, 40, 0},    {8, 2, 128, 300, 300, 0},
      {6, 2, 80, 150, 33, 0},    {32, 8, 128, 129, 65, 0}, {5, 1, 16, 200, 7, 0},
      {4, 2, 64, 290, 290, 100}, {4, 2, 64, 290, 40, 16},  {4, 1, 96, 513, 200, 0},
      {2, 1, 32, 700, 300, 130}, {4, 4, 64, 128, 128, 0},
  };
  std::uint64_t seed = 1;
  for (const Case& c : cases) {
    for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
      const Filled filled(c, format, ++seed * 10000);
      const SequenceView sequence{filled.table, c.length, c.new_tokens};
      const AttentionShape shape{c.heads, 1.0F / std::sqrt(static_cast<float>(c.head_dim)),
                                 c.window};
      const auto q = random_bf16(c.new_tokens * c.heads * c.head_dim, seed);
      const auto want = reference_attention(shape, filled.cache, sequence, q.data());
      for (const PrefillKernels* kernels : available_prefill_kernels(cpu_features())) {
        SCOPED_TRACE(testing::Message()
                     << c.heads << "/" << c.kv_heads << " heads of " << c.head_dim << ", length "
                     << c.length << ", " << to_string(format) << ", " << kernels->name);
        WorkerPool one(1), two(2);
        std::vector<Bf16> out(q.size(), kPoison), again(q.size(), kPoison);
        attention_prefill(shape, filled.cache, sequence, q.data(), out.data(), two, *kernels);
        expect_close(out, want);
        attention_prefill(shape, filled.cache, sequence, q.data(), again.data(), one, *kernels);
        EXPECT_EQ(out, again);
      }
    }
  }
}

// Scores grow along the sequence by far more than the head room of the running reference, and by up
// to 2^138 in all: sums are rescaled again and again, and what came first weighs nothing.
TEST(AttentionPrefill, Rescales_when_scores_grow) {
  constexpr std::int64_t kLength = 1000;
  PagedKvCache cache({1, 32, KvFormat::bf16}, kLength / kKvBlockTokens + 1);
  std::vector<std::int32_t> table(static_cast<std::size_t>(cache.blocks()));
  std::iota(table.begin(), table.end(), 0);
  for (std::int64_t p = 0; p < kLength; ++p) {
    cache.store(table, p, std::vector<Bf16>(32, to_bf16(static_cast<float>(p) * 0.003F)),
                random_bf16(32, static_cast<std::uint64_t>(p)));
  }
  const SequenceView sequence{table, kLength, kLength};
  const std::vector<Bf16> q(kLength * 32, to_bf16(1.0F));
  const AttentionShape shape{1, 1.0F, 0};
  const auto want = reference_attention(shape, cache, sequence, q.data());
  for (const PrefillKernels* kernels : available_prefill_kernels(cpu_features())) {
    SCOPED_TRACE(kernels->name);
    std::vector<Bf16> out(q.size(), kPoison);
    WorkerPool pool(1);
    attention_prefill(shape, cache, sequence, q.data(), out.data(), pool, *kernels);
    expect_close(out, want);
  }
}

// Memory behind the end of a sequence belongs to nobody: NaN there must not come through.
TEST(AttentionPrefill, Reads_nothing_from_behind_the_end) {
  constexpr std::int64_t kLength = 21;
  for (const std::int64_t dim : {32, 40}) {
    PagedKvCache cache({1, static_cast<int>(dim), KvFormat::bf16}, 2);
    const std::vector<std::int32_t> table{0, 1};
    for (std::int64_t p = 0; p < 32; ++p) {
      cache.store(table, p,
                  p < kLength ? random_bf16(dim, static_cast<std::uint64_t>(p))
                              : std::vector<Bf16>(static_cast<std::size_t>(dim), kPoison),
                  p < kLength ? random_bf16(dim, static_cast<std::uint64_t>(p + 100))
                              : std::vector<Bf16>(static_cast<std::size_t>(dim), kPoison));
    }
    const SequenceView sequence{table, kLength, kLength};
    const auto q = random_bf16(kLength * dim, 5);
    const auto want = reference_attention({1, 0.2F, 0}, cache, sequence, q.data());
    for (const PrefillKernels* kernels : available_prefill_kernels(cpu_features())) {
      SCOPED_TRACE(kernels->name);
      std::vector<Bf16> out(q.size(), kPoison);
      WorkerPool pool(1);
      attention_prefill({1, 0.2F, 0}, cache, sequence, q.data(), out.data(), pool, *kernels);
      expect_close(out, want);
    }
  }
}

TEST(AttentionDecode, Agrees_with_the_definition_in_fp64_for_several_sequences) {
  for (const KvFormat format : {KvFormat::bf16, KvFormat::int8, KvFormat::fp8_e4m3}) {
    for (const std::int64_t window : {0, 24}) {
      const AttentionShape shape{8, 1.0F / std::sqrt(64.0F), window};
      PagedKvCache cache({2, 64, format}, 64);
      // Sequences of 1, 17 and 300 tokens, pages interleaved: sequence s owns blocks s, s + 3, ...
      const std::int64_t lengths[] = {1, 17, 300};
      std::vector<std::vector<std::int32_t>> tables(3);
      for (int s = 0; s < 3; ++s) {
        for (int block = s; block < 64; block += 3) {
          tables[static_cast<std::size_t>(s)].push_back(block);
        }
        for (std::int64_t p = 0; p < lengths[s]; ++p) {
          const auto seed = static_cast<std::uint64_t>(std::int64_t{s} * 5000 + 2 * p);
          cache.store(tables[static_cast<std::size_t>(s)], p, random_bf16(128, seed),
                      random_bf16(128, seed + 1));
        }
      }
      std::vector<SequenceView> sequences;
      for (std::size_t s = 0; s < 3; ++s) {
        sequences.push_back({tables[s], lengths[s], 1});
      }
      const auto q = random_bf16(3 * 8 * 64, 77);
      std::vector<Bf16> out(q.size());
      WorkerPool pool(2);
      attention_decode(shape, cache, sequences, q.data(), out.data(), pool);
      for (std::size_t s = 0; s < 3; ++s) {
        const std::vector<Bf16> mine(out.begin() + static_cast<std::ptrdiff_t>(s * 512),
                                     out.begin() + static_cast<std::ptrdiff_t>((s + 1) * 512));
        expect_close(mine, reference_attention(shape, cache, sequences[s], q.data() + s * 512));
      }
    }
  }
}

TEST(Attention, A_single_visible_position_returns_its_value) {
  PagedKvCache cache({1, 32, KvFormat::bf16}, 1);
  const std::vector<std::int32_t> table{0};
  const auto key = random_bf16(32, 1), value = random_bf16(32, 2), q = random_bf16(32, 3);
  cache.store(table, 0, key, value);
  const SequenceView sequence{table, 1, 1};
  WorkerPool pool(1);
  std::vector<Bf16> out(32);
  attention_decode({1, 0.1F, 0}, cache, {&sequence, 1}, q.data(), out.data(), pool);
  EXPECT_EQ(out, value);
  attention_prefill({1, 0.1F, 0}, cache, sequence, q.data(), out.data(), pool);
  EXPECT_EQ(out, value);
}

}  // namespace
}  // namespace foretoken::kernels
