#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <span>

#include "calibrate/bench/cpu_subjects.h"
#include "kernels/base/cpu_features.h"
#include "kernels/layer/elementwise.h"
#include "kernels/layer/vector_ops.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

namespace k = kernels;
using k::Bf16;

constexpr std::int64_t kHalf = 2, kFloat = 4, kIndex = 8, kTokenId = 4;
constexpr std::int64_t kPositions = 4096;

// Operands of one call, kept alive by the function that runs it.
struct Operands {
  std::vector<Bf16> x, y, out, gain;
  std::vector<float> logits;
  std::vector<std::int64_t> positions;
  std::vector<std::int32_t> ids;
  k::Int8Rows narrow;
  std::unique_ptr<k::RotaryTable> rotary;
  std::unique_ptr<KvPool> kv;

  Operands(std::int64_t in, std::int64_t results, Pool& pool)
      : x(static_cast<std::size_t>(in)), out(static_cast<std::size_t>(results)) {
    fill(x, pool);
  }
  static void fill(std::vector<Bf16>& values, Pool& pool) {
    const auto* from = reinterpret_cast<const std::uint16_t*>(pool.data());
    const std::size_t count = pool.size() / sizeof(Bf16);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i].bits = from[i % count];
    }
  }
};

using Make = std::function<void()> (*)(const LayerCall&, Pool&, k::WorkerPool&);

std::function<void()> norm(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(c.rows * c.width, c.rows * c.width, pool);
  o->gain.assign(static_cast<std::size_t>(c.width), k::to_bf16(1.0F));
  return [o, &workers] { k::rms_norm(o->x, o->gain, 1e-5F, o->out, workers); };
}

// residual += x; out = norm(residual)
std::function<void()> add_norm(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(c.rows * c.width, c.rows * c.width, pool);
  o->y.assign(o->x.size(), k::to_bf16(0.0F));  // the sum must not grow over the calls
  o->gain.assign(static_cast<std::size_t>(c.width), k::to_bf16(1.0F));
  return [o, &workers] {
    k::add_residual(o->x, o->y, workers);
    k::rms_norm(o->x, o->gain, 1e-5F, o->out, workers);
  };
}

std::function<void()> residual_add(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(c.rows * c.width, 0, pool);
  o->y.assign(o->x.size(), k::to_bf16(0.0F));
  return [o, &workers] { k::add_residual(o->x, o->y, workers); };
}

std::function<void()> silu(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(2 * c.rows * c.width, c.rows * c.width, pool);
  return [o, width = c.width, &workers] { k::silu_multiply(o->x, width, o->out, workers); };
}

std::function<void()> quantise(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(c.rows * c.width, 0, pool);
  return [o, width = c.width, &workers] { k::quantize_rows(o->x, width, 0, o->narrow, workers); };
}

std::function<void()> rope(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  const std::int64_t stride = std::int64_t{c.heads + 2 * c.kv_heads} * c.head_dim;
  auto o = std::make_shared<Operands>(c.rows * stride, 0, pool);
  o->rotary = std::make_unique<k::RotaryTable>(k::RotaryConfig{.head_dim = c.head_dim}, kPositions);
  o->positions.resize(static_cast<std::size_t>(c.rows));
  std::iota(o->positions.begin(), o->positions.end(), std::int64_t{0});
  return [o, stride, turned = c.heads + c.kv_heads, &workers] {
    o->rotary->apply(o->x.data(), stride, turned, o->positions, workers);
  };
}

std::function<void()> kv_write(const LayerCall& c, Pool& pool, k::WorkerPool& /*workers*/) {
  const std::int64_t width = std::int64_t{c.kv_heads} * c.head_dim;
  auto o = std::make_shared<Operands>(c.rows * 2 * width, 0, pool);
  auto cache = std::make_shared<k::PagedKvCache>(k::KvShape{c.kv_heads, c.head_dim},
                                                 c.rows / k::kKvBlockTokens + 1);
  auto blocks = std::make_shared<std::vector<std::int32_t>>(
      static_cast<std::size_t>(c.rows / k::kKvBlockTokens + 1));
  std::iota(blocks->begin(), blocks->end(), 0);
  return [o, cache, blocks, rows = c.rows, width] {
    const auto count = static_cast<std::size_t>(width);
    for (std::int64_t row = 0; row < rows; ++row) {
      const Bf16* const key = o->x.data() + row * 2 * width;
      cache->store(*blocks, row, {key, count}, {key + width, count});
    }
  };
}

// Rows of a table far larger than the caches, others in every call: cold.
std::function<void()> copy_rows(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(0, c.rows * c.width, pool);
  const std::span<const Bf16> table(reinterpret_cast<const Bf16*>(pool.data()),
                                    pool.size() / sizeof(Bf16));
  const std::int64_t rows = static_cast<std::int64_t>(table.size()) / c.width;
  o->ids.resize(static_cast<std::size_t>(c.rows));
  return [o, table, rows, width = c.width, next = std::int64_t{0}, &workers]() mutable {
    for (std::int32_t& id : o->ids) {
      id = static_cast<std::int32_t>(next);
      next = (next + 7919) % rows;
    }
    k::embed(table, width, o->ids, o->out, workers);
  };
}

// Logits widened to fp32, and the largest taken.
std::function<void()> sample(const LayerCall& c, Pool& pool, k::WorkerPool& workers) {
  auto o = std::make_shared<Operands>(c.rows * c.width, 0, pool);
  o->logits.resize(o->x.size());
  return [o, width = c.width, &workers] {
    k::vector_ops(k::cpu_features())
        .widen(o->x.data(), k::KvFormat::bf16, 1.0F, static_cast<std::int64_t>(o->x.size()),
               o->logits.data());
    o->ids = k::argmax_rows(o->logits, width, workers);
  };
}

struct LayerRow {
  Make make;
  std::int64_t (*bytes)(const LayerCall&);
};

// As sim/model/graph_builder.cpp counts them.
const std::map<std::string, LayerRow>& layer_table() {
  static const std::map<std::string, LayerRow> table{
      {"input_layernorm",
       {norm, [](const LayerCall& c) { return (2 * c.rows + 1) * c.width * kHalf; }}},
      {"add_norm",
       {add_norm, [](const LayerCall& c) { return (4 * c.rows + 1) * c.width * kHalf; }}},
      {"residual_add",
       {residual_add, [](const LayerCall& c) { return 3 * c.rows * c.width * kHalf; }}},
      {"silu_mul", {silu, [](const LayerCall& c) { return 3 * c.rows * c.width * kHalf; }}},
      {"quantise",
       {quantise,
        [](const LayerCall& c) { return c.rows * (c.width * kHalf + c.width + kFloat); }}},
      {"rope",
       {rope,
        [](const LayerCall& c) {
          const std::int64_t row = std::int64_t{c.heads + c.kv_heads} * c.head_dim * kHalf;
          return c.rows * (2 * row + c.head_dim * kHalf + kIndex);
        }}},
      {"kv_cache_write",
       {kv_write,
        [](const LayerCall& c) {
          return c.rows * (4 * std::int64_t{c.kv_heads} * c.head_dim * kHalf + kIndex);
        }}},
      {"embed_tokens",
       {copy_rows, [](const LayerCall& c) { return c.rows * (2 * c.width * kHalf + kTokenId); }}},
      {"select_rows",
       {copy_rows, [](const LayerCall& c) { return c.rows * (2 * c.width * kHalf + kIndex); }}},
      {"sample", {sample, [](const LayerCall& c) {
                    return c.rows * (c.width * (kHalf + kFloat) + c.width * kFloat + kIndex);
                  }}}};
  return table;
}

const LayerRow& row_of(const LayerCall& call) {
  const auto row = layer_table().find(call.name);
  FT_CHECK(row != layer_table().end(), "layer operator {}", call.name);
  return row->second;
}

}  // namespace

std::int64_t layer_bytes(const LayerCall& call) { return row_of(call).bytes(call); }

std::function<void()> layer_kernel(const LayerCall& call, Pool& pool, k::WorkerPool& workers) {
  return row_of(call).make(call, pool, workers);
}

KvPool::KvPool(const k::KvShape& shape, std::size_t bytes)
    : cache_(shape, std::max<std::int64_t>(static_cast<std::int64_t>(bytes) /
                                               (shape.bytes_per_token() * k::kKvBlockTokens),
                                           512)),
      blocks_(static_cast<std::size_t>(cache_.blocks())) {
  std::iota(blocks_.begin(), blocks_.end(), 0);
  // One row everywhere: what it holds does not change how long reading it takes.
  std::vector<Bf16> row(static_cast<std::size_t>(shape.kv_heads) * shape.head_dim);
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = k::to_bf16(static_cast<float>(i * 37 % 64) / 64 - 0.5F);
  }
  for (std::int64_t token = 0; token < cache_.blocks() * k::kKvBlockTokens; ++token) {
    cache_.store(blocks_, token, row, row);
  }
}

k::BlockTable KvPool::next(std::int64_t tokens) {
  const auto blocks =
      static_cast<std::size_t>((tokens + k::kKvBlockTokens - 1) / k::kKvBlockTokens);
  FT_CHECK(blocks <= blocks_.size(), "{} tokens in a cache of {} blocks", tokens, blocks_.size());
  if (cursor_ + blocks > blocks_.size()) {
    cursor_ = 0;
  }
  const k::BlockTable table(blocks_.data() + cursor_, blocks);
  cursor_ += blocks;
  return table;
}

namespace {

k::AttentionShape attention_shape(int heads, int head_dim) {
  return {heads, 1.0F / std::sqrt(static_cast<float>(head_dim)), 0};
}

// Room for `tokens` tokens' queries and results; what is in it does not matter.
void make_room(int heads, int head_dim, std::int64_t tokens, std::vector<Bf16>& queries,
               std::vector<Bf16>& out) {
  queries.resize(static_cast<std::size_t>(tokens * heads * head_dim), k::to_bf16(0.1F));
  out.resize(queries.size());
}

}  // namespace

void run_prefill(int heads, KvPool& kv, std::int64_t batch, std::int64_t fresh, std::int64_t length,
                 std::vector<Bf16>& queries, std::vector<Bf16>& out, k::WorkerPool& workers) {
  const int head_dim = kv.cache().shape().head_dim;
  make_room(heads, head_dim, fresh, queries, out);
  for (std::int64_t i = 0; i < batch; ++i) {
    k::attention_prefill(attention_shape(heads, head_dim), kv.cache(),
                         {kv.next(length), length, fresh}, queries.data(), out.data(), workers);
  }
}

void run_decode(int heads, KvPool& kv, std::int64_t batch, std::int64_t length,
                std::vector<Bf16>& queries, std::vector<Bf16>& out, k::WorkerPool& workers) {
  const int head_dim = kv.cache().shape().head_dim;
  make_room(heads, head_dim, batch, queries, out);
  std::vector<k::SequenceView> sequences;
  for (std::int64_t i = 0; i < batch; ++i) {
    sequences.push_back({kv.next(length), length, 1});
  }
  k::attention_decode(attention_shape(heads, head_dim), kv.cache(), sequences, queries.data(),
                      out.data(), workers);
}

std::uint64_t read_all(const std::byte* bytes, std::size_t count) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes);
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + 8 <= count / 8; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) {
      sums[lane] += words[i + lane];
    }
  }
  return std::accumulate(std::begin(sums), std::end(sums), std::uint64_t{0});
}

}  // namespace foretoken::calibrate
