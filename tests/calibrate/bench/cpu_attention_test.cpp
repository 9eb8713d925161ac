#include "calibrate/bench/cpu_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "calibrate/bench/cpu_gemm.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

std::vector<float> random_values(std::size_t count, const char* purpose) {
  RandomStream random(7, purpose);
  std::vector<float> values(count);
  for (float& value : values) {
    value = to_float(to_bf16(static_cast<float>(random.normal())));
  }
  return values;
}

// Attention of one query over `tokens` keys and values, `stride` floats apart.
std::vector<double> attend(const float* query, const float* keys, const float* values,
                           std::int64_t tokens, std::int64_t stride, std::int64_t dim) {
  std::vector<double> weight(static_cast<std::size_t>(tokens));
  double top = -1e30, sum = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t d = 0; d < dim; ++d) {
      weight[t] += static_cast<double>(query[d]) * keys[t * stride + d];
    }
    weight[t] /= std::sqrt(static_cast<double>(dim));
    top = std::max(top, weight[t]);
  }
  for (double& w : weight) {
    sum += w = std::exp(w - top);
  }
  std::vector<double> out(static_cast<std::size_t>(dim));
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t d = 0; d < dim; ++d) {
      out[d] += weight[t] / sum * values[t * stride + d];
    }
  }
  return out;
}

TEST(CpuAttention, Prefill_agrees_with_the_definition_across_blocks_and_with_context) {
  use_one_thread();
  const AttentionShape shape{4, 2, 64};
  Pool pool(1 << 20);
  for (const auto& [fresh, context] :
       std::vector<std::pair<int, int>>{{5, 0}, {150, 0}, {20, 37}}) {
    const auto query = random_values(static_cast<std::size_t>(fresh * 4 * 64), "q");
    const auto key = random_values(static_cast<std::size_t>((fresh + context) * 2 * 64), "k");
    const auto value = random_values(static_cast<std::size_t>((fresh + context) * 2 * 64), "v");
    const auto out = CpuPrefill(shape, fresh, context, pool).compute(query, key, value);
    for (int token = 0; token < fresh; ++token) {
      for (int head = 0; head < 4; ++head) {
        const auto at = static_cast<std::size_t>((token * 4 + head) * 64);
        const auto kv = static_cast<std::size_t>(head / 2 * 64);
        const auto expected =
            attend(&query[at], &key[kv], &value[kv], context + token + 1, 128, 64);
        for (int d = 0; d < 64; ++d) {
          // Weights and output are rounded to bf16: two roundings of 2^-9 on values of order 1
          // to 4.
          ASSERT_NEAR(out[at + d], expected[d], 0.03) << token << " " << head << " " << d;
        }
      }
    }
  }
}

TEST(CpuAttention, Decode_agrees_with_the_definition) {
  const std::size_t group = 5, dim = 96, tokens = 48;
  const auto query = random_values(group * dim, "q");
  const auto key = random_values(tokens * dim, "k");
  const auto value = random_values(tokens * dim, "v");
  std::vector<Bf16> q(query.size()), k(key.size()), v(value.size()), out(query.size());
  std::transform(query.begin(), query.end(), q.begin(), to_bf16);
  std::transform(value.begin(), value.end(), v.begin(), to_bf16);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t d = 0; d < dim; ++d) {
      k[(t / kKeyBlock * dim + d) * kKeyBlock + t % kKeyBlock] = to_bf16(key[t * dim + d]);
    }
  }
  std::vector<float> scratch(4 * tokens);
  decode_attention(q.data(), k.data(), v.data(), out.data(), group, dim, tokens, scratch.data());
  for (std::size_t head = 0; head < group; ++head) {
    const auto expected = attend(&query[head * dim], key.data(), value.data(), tokens, dim, dim);
    for (std::size_t d = 0; d < dim; ++d) {
      // Only the output is rounded to bf16; values stay below 4.
      ASSERT_NEAR(to_float(out[head * dim + d]), expected[d], 4.0 / 256);
    }
  }
}

TEST(CpuAttention, Decode_rounds_the_cache_up_to_whole_blocks) {
  Pool pool(1 << 20);
  EXPECT_EQ(CpuDecode({4, 2, 64}, 2, 17, pool).tokens(), 32);
  CpuDecode({4, 2, 64}, 2, 17, pool).run(0);
}

}  // namespace
}  // namespace foretoken::calibrate
