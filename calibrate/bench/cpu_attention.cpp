#include "calibrate/bench/cpu_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace foretoken::calibrate {
namespace {

using dnnl::memory;
using Type = memory::data_type;
using Arguments = std::unordered_map<int, memory>;

// A batched matmul over the query heads of one KV head; strides in elements.
struct BatchedMatmul {
  dnnl::matmul primitive;
  memory::desc a, b, c;
};

BatchedMatmul batched(const dnnl::engine& engine, const memory::desc& a, const memory::desc& b,
                      const memory::desc& c) {
  const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(a, b, c), engine);
  return {dnnl::matmul(desc), a, b, c};
}

}  // namespace

// Queries and outputs lie as [token][head][dim], keys and values as [kv head][token][dim].
struct CpuPrefill::Impl {
  AttentionShape shape;
  std::int64_t fresh, context, group, dim;
  Pool& pool;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<Bf16> query, out, weights;
  std::vector<float> scores;
  struct Block {
    std::int64_t first, rows, seen;  // seen: keys that the last row sees
    BatchedMatmul score, sum;
  };
  std::vector<Block> blocks;

  Impl(AttentionShape s, std::int64_t f, std::int64_t c, Pool& p)
      : shape(s), fresh(f), context(c), group(s.heads / s.kv_heads), dim(s.head_dim), pool(p) {
    query.assign(static_cast<std::size_t>(fresh * shape.heads * dim), to_bf16(0.1F));
    out.resize(query.size());
    for (std::int64_t first = 0; first < fresh; first += kQueryBlock) {
      const std::int64_t rows = std::min(kQueryBlock, fresh - first);
      add_block(first, rows, context + first + rows);
    }
    const std::int64_t most = std::min(kQueryBlock, fresh) * (context + fresh) * group;
    scores.resize(static_cast<std::size_t>(most));
    weights.resize(static_cast<std::size_t>(most));
  }

  void add_block(std::int64_t first, std::int64_t rows, std::int64_t seen) {
    const memory::dims per_query{dim, shape.heads * dim, 1};
    const memory::desc q({group, rows, dim}, Type::bf16, per_query);
    const memory::desc k({1, dim, seen}, Type::bf16, memory::dims{seen * dim, 1, dim});
    const memory::desc score({group, rows, seen}, Type::f32, memory::format_tag::abc);
    const memory::desc weight({group, rows, seen}, Type::bf16, memory::format_tag::abc);
    const memory::desc v({1, seen, dim}, Type::bf16, memory::format_tag::abc);
    const memory::desc o({group, rows, dim}, Type::bf16, per_query);
    blocks.push_back(
        {first, rows, seen, batched(engine, q, k, score), batched(engine, weight, v, o)});
  }

  std::size_t cache_values() const {
    return static_cast<std::size_t>((context + fresh) * dim * shape.kv_heads);
  }

  void run(Bf16* keys, Bf16* values) {
    for (const Block& block : blocks) {
      for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const std::int64_t cache = kv * (context + fresh) * dim;
        const std::int64_t at = block.first * shape.heads * dim + kv * group * dim;
        run_block(block, query.data() + at, keys + cache, values + cache, out.data() + at);
      }
    }
  }

  void run_block(const Block& block, Bf16* q, Bf16* k, Bf16* v, Bf16* o) {
    const auto on = [&](const memory::desc& desc, void* data) {
      return memory(desc, engine, data);
    };
    block.score.primitive.execute(stream, {{DNNL_ARG_SRC, on(block.score.a, q)},
                                           {DNNL_ARG_WEIGHTS, on(block.score.b, k)},
                                           {DNNL_ARG_DST, on(block.score.c, scores.data())}});
    const float scale = 1.0F / std::sqrt(static_cast<float>(dim));
    const auto width = static_cast<std::size_t>(block.seen);
    for (std::int64_t head = 0; head < group; ++head) {
      for (std::int64_t row = 0; row < block.rows; ++row) {
        const auto offset = static_cast<std::size_t>(head * block.rows + row) * width;
        const auto seen = static_cast<std::size_t>(context + block.first + row + 1);
        softmax_row(scores.data() + offset, scale, seen, width, weights.data() + offset);
      }
    }
    block.sum.primitive.execute(stream, {{DNNL_ARG_SRC, on(block.sum.a, weights.data())},
                                         {DNNL_ARG_WEIGHTS, on(block.sum.b, v)},
                                         {DNNL_ARG_DST, on(block.sum.c, o)}});
  }
};

CpuPrefill::CpuPrefill(AttentionShape shape, std::int64_t fresh, std::int64_t context, Pool& pool)
    : impl_(std::make_unique<Impl>(shape, fresh, context, pool)) {
  FT_CHECK(impl_->cache_values() * 4 <= pool.size(), "the pool is too small");
}
CpuPrefill::~CpuPrefill() = default;

void CpuPrefill::run(int call) {
  const std::size_t values = impl_->cache_values();
  auto* keys =
      reinterpret_cast<Bf16*>(impl_->pool.slice(values * 4, static_cast<std::size_t>(call)));
  impl_->run(keys, keys + values);
}

std::vector<float> CpuPrefill::compute(const std::vector<float>& query,
                                       const std::vector<float>& key,
                                       const std::vector<float>& value) {
  Impl& impl = *impl_;
  std::transform(query.begin(), query.end(), impl.query.begin(), to_bf16);
  std::vector<Bf16> keys(impl.cache_values()), values(impl.cache_values());
  const std::int64_t tokens = impl.context + impl.fresh;
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (std::int64_t kv = 0; kv < impl.shape.kv_heads; ++kv) {
      for (std::int64_t d = 0; d < impl.dim; ++d) {
        const auto from =
            static_cast<std::size_t>((token * impl.shape.kv_heads + kv) * impl.dim + d);
        const auto to = static_cast<std::size_t>((kv * tokens + token) * impl.dim + d);
        keys[to] = to_bf16(key[from]);
        values[to] = to_bf16(value[from]);
      }
    }
  }
  impl.run(keys.data(), values.data());
  std::vector<float> out(impl.out.size());
  std::transform(impl.out.begin(), impl.out.end(), out.begin(), to_float);
  return out;
}

CpuDecode::CpuDecode(AttentionShape shape, std::int64_t sequences, std::int64_t tokens, Pool& pool)
    : shape_(shape),
      sequences_(sequences),
      tokens_(round_up(tokens, static_cast<std::int64_t>(kKeyBlock))),
      pool_(pool),
      query_(static_cast<std::size_t>(sequences * shape.heads * shape.head_dim), to_bf16(0.1F)),
      out_(query_.size()),
      scratch_(static_cast<std::size_t>(4 * tokens_)) {
  const auto bytes = static_cast<std::size_t>(4 * tokens_ * shape.head_dim);
  FT_CHECK(bytes <= pool.size(), "the pool is too small");
}

void CpuDecode::run(int call) {
  const auto group = static_cast<std::size_t>(shape_.heads / shape_.kv_heads);
  const auto dim = static_cast<std::size_t>(shape_.head_dim);
  const auto tokens = static_cast<std::size_t>(tokens_);
  const auto calls = static_cast<std::size_t>(sequences_ * shape_.kv_heads);
  for (std::size_t i = 0; i < calls; ++i) {
    // One sequence's keys and values of one KV head.
    auto* keys = reinterpret_cast<Bf16*>(
        pool_.slice(4 * tokens * dim, static_cast<std::size_t>(call) * calls + i));
    decode_attention(query_.data() + i * group * dim, keys, keys + tokens * dim,
                     out_.data() + i * group * dim, group, dim, tokens, scratch_.data());
  }
}

}  // namespace foretoken::calibrate
