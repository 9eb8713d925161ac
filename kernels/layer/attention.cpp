#include "kernels/layer/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/gemm/cpu_gemm.h"

namespace foretoken::kernels {
namespace {

constexpr std::int64_t kKeyBlock = 128;  // positions between two updates of the running softmax
constexpr float kNothing = -std::numeric_limits<float>::infinity();

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

void check(const AttentionShape& shape, const PagedKvCache& cache, const SequenceView& sequence) {
  FT_KERNEL_CHECK(shape.heads % cache.shape().kv_heads == 0);
  FT_KERNEL_CHECK(sequence.new_tokens > 0 && sequence.new_tokens <= sequence.length);
}

std::int64_t first_visible(const AttentionShape& shape, std::int64_t position) {
  return shape.window == 0 ? 0 : std::max<std::int64_t>(0, position + 1 - shape.window);
}

// Keys or values of one kv head as bf16 tiles (packed_weights.h), without their scales: a byte is
// exact in bf16, its product with a scale is not.
struct HeadTiles {
  std::vector<std::uint16_t> keys;    // channels = positions, k = head_dim
  std::vector<std::uint16_t> values;  // channels = head_dim, k = positions
  std::vector<float> key_scales, value_scales;
  std::int64_t padded_dim = 0, padded_length = 0;
};

// Position of (channel, k) in tiles whose blocks of 16 channels hold `k_tiles` tiles each.
std::size_t tile_index(std::int64_t channel, std::int64_t k, std::int64_t k_tiles) {
  return static_cast<std::size_t>((channel / 16 * k_tiles + k / 32) * 512 + k % 32 / 2 * 32 +
                                  channel % 16 * 2 + k % 2);
}

void load_head(const PagedKvCache& cache, const SequenceView& sequence, int kv_head,
               HeadTiles& tiles) {
  const int dim = cache.shape().head_dim;
  tiles.padded_dim = round_up(dim, 32);
  tiles.padded_length = round_up(sequence.length, kKeyBlock);
  const auto count = static_cast<std::size_t>(tiles.padded_dim * tiles.padded_length);
  tiles.keys.assign(count, 0);
  tiles.values.assign(count, 0);
  tiles.key_scales.assign(static_cast<std::size_t>(tiles.padded_length), 0);
  tiles.value_scales.assign(static_cast<std::size_t>(tiles.padded_length), 0);
  const VectorOps& ops = vector_ops(cpu_features());
  std::vector<float> row(static_cast<std::size_t>(dim));
  const std::int64_t dim_tiles = tiles.padded_dim / 32, length_tiles = tiles.padded_length / 32;
  for (std::int64_t position = 0; position < sequence.length; ++position) {
    const auto at = static_cast<std::size_t>(position);
    const auto key = cache.key(sequence.blocks, position, kv_head);
    ops.widen(key.values, cache.shape().format, 1.0F, dim, row.data());
    for (std::int64_t i = 0; i < dim; ++i) {
      tiles.keys[tile_index(position, i, dim_tiles)] =
          to_bf16(row[static_cast<std::size_t>(i)]).bits;
    }
    tiles.key_scales[at] = key.scale;
    const auto value = cache.value(sequence.blocks, position, kv_head);
    ops.widen(value.values, cache.shape().format, 1.0F, dim, row.data());
    for (std::int64_t i = 0; i < dim; ++i) {
      tiles.values[tile_index(i, position, length_tiles)] =
          to_bf16(row[static_cast<std::size_t>(i)]).bits;
    }
    tiles.value_scales[at] = value.scale;
  }
}

// Rows of the left operand, as the instruction set wants them: bf16 tiles or fp32 rows.
class LeftOperand {
 public:
  LeftOperand(ActivationLayout layout, std::int64_t k)
      : tiles_(layout == ActivationLayout::tiles),
        k_(k),
        memory_(static_cast<std::size_t>(kBlockRows * k) * (tiles_ ? 2 : 4)) {}

  void set(int row, std::int64_t i, float value) {
    if (tiles_) {
      memory_.as<Bf16>()[row / 16 * 16 * k_ + i / 32 * 512 + row % 16 * 32 + i % 32] =
          to_bf16(value);
    } else {
      memory_.as<float>()[row * k_ + i] = value;
    }
  }
  // Columns [i, i + 32) of a row as products; i is a multiple of 32.
  void set_products(int row, std::int64_t i, const float* a, const float* b, const VectorOps& ops) {
    if (tiles_) {
      ops.multiply_narrow(
          a, b, 32,
          memory_.as<std::uint16_t>() + row / 16 * 16 * k_ + i / 32 * 512 + row % 16 * 32);
    } else {
      ops.multiply(a, b, 1.0F, 32, memory_.as<float>() + row * k_ + i);
    }
  }
  const void* data() const { return memory_.as(); }
  std::int64_t stride() const { return tiles_ ? 16 * k_ * 2 : k_ * 4; }

 private:
  bool tiles_;
  std::int64_t k_;
  PageBuffer memory_;
};

// Up to 32 rows, one per (token, query head of the group), that share a kv head.
class QueryBlock {
 public:
  QueryBlock(const AttentionShape& shape, const PagedKvCache& cache, const SequenceView& sequence,
             const HeadTiles& tiles, int kv_head)
      : shape_(shape),
        sequence_(sequence),
        tiles_(tiles),
        kernels_(kernels_of(available_isas(cpu_features()).front())),
        ops_(vector_ops(cpu_features())),
        dim_(cache.shape().head_dim),
        group_(shape.heads / cache.shape().kv_heads),
        first_head_(kv_head * group_),
        queries_(kernels_.float_layout, tiles.padded_dim),
        weights_(kernels_.float_layout, kKeyBlock),
        out_(static_cast<std::size_t>(kBlockRows * tiles.padded_dim)) {}

  // Rows [first, first + rows) of the kv head's new_tokens * group rows.
  void run(std::int64_t first, int rows, const Bf16* queries, Bf16* out) {
    rows_ = rows;
    first_ = first;
    load_queries(queries);
    std::fill(out_.begin(), out_.end(), 0.0F);
    for (SoftmaxState& state : states_) {
      state = {kNothing, 0};
    }
    const std::int64_t last = position(rows - 1);
    for (std::int64_t key = first_visible(shape_, position(0)) / kKeyBlock * kKeyBlock; key <= last;
         key += kKeyBlock) {
      scores(key);
      soften(key);
      add_values(key);
    }
    store(out);
  }

 private:
  std::int64_t token(int row) const { return (first_ + row) / group_; }
  std::int64_t position(int row) const {
    return sequence_.length - sequence_.new_tokens + token(row);
  }
  std::int64_t query_offset(int row) const {
    return (token(row) * shape_.heads + first_head_ + (first_ + row) % group_) * dim_;
  }

  void load_queries(const Bf16* queries) {
    for (int row = 0; row < rows_; ++row) {
      for (std::int64_t i = 0; i < dim_; ++i) {
        queries_.set(row, i, to_float(queries[query_offset(row) + i]));
      }
    }
  }

  FloatTask task(const LeftOperand& left) const {
    FloatTask task;
    task.a = left.data();
    task.a_stride = left.stride();
    task.rows = rows_;
    return task;
  }

  // scores_[row][j] = q . k * scales, -inf where the row must not look.
  void scores(std::int64_t key) {
    FloatTask multiply = task(queries_);
    multiply.k_tiles = multiply.group_tiles = tiles_.padded_dim / 32;
    multiply.b_stride = multiply.k_tiles * 512;
    multiply.c = product_;
    for (std::int64_t j = 0; j < kKeyBlock; j += kBlockChannels) {
      multiply.b = tiles_.keys.data() + (key + j) / 16 * multiply.b_stride;
      kernels_.float_block(multiply);
      for (int row = 0; row < rows_; ++row) {
        ops_.multiply(product_ + row * kBlockChannels, tiles_.key_scales.data() + key + j,
                      shape_.scale, kBlockChannels, scores_[row] + j);
      }
    }
    for (int row = 0; row < rows_; ++row) {
      const std::int64_t high = position(row), low = first_visible(shape_, high);
      for (std::int64_t j = 0; j < std::clamp<std::int64_t>(low - key, 0, kKeyBlock); ++j) {
        scores_[row][j] = kNothing;
      }
      for (std::int64_t j = std::clamp<std::int64_t>(high + 1 - key, 0, kKeyBlock); j < kKeyBlock;
           ++j) {
        scores_[row][j] = kNothing;
      }
    }
  }

  // Scores to weights against the running maximum; what was summed before is rescaled.
  void soften(std::int64_t key) {
    for (int row = 0; row < rows_; ++row) {
      SoftmaxState& state = states_[row];
      const float largest = std::max(state.max, ops_.maximum(scores_[row], kKeyBlock));
      const float keep = state.max == kNothing ? 0.0F : std::exp(state.max - largest);
      float sum = 0;
      if (largest == kNothing) {
        std::fill(scores_[row], scores_[row] + kKeyBlock, 0.0F);
      } else {
        sum = ops_.exponentials(scores_[row], kKeyBlock, largest);
      }
      state = {largest, state.sum * keep + sum};
      keep_[row] = keep;
      for (std::int64_t j = 0; j < kKeyBlock; j += 32) {
        weights_.set_products(row, j, scores_[row] + j, tiles_.value_scales.data() + key + j, ops_);
      }
    }
  }

  void add_values(std::int64_t key) {
    FloatTask multiply = task(weights_);
    multiply.k_tiles = multiply.group_tiles = kKeyBlock / 32;
    multiply.b_stride = tiles_.padded_length / 32 * 512;
    multiply.c = product_;
    for (std::int64_t i = 0; i < tiles_.padded_dim; i += kBlockChannels) {
      multiply.b = tiles_.values.data() + i / 16 * multiply.b_stride + key / 32 * 512;
      kernels_.float_block(multiply);
      for (int row = 0; row < rows_; ++row) {
        float* const sums = out_.data() + row * tiles_.padded_dim + i;
        ops_.accumulate(sums, keep_[row], 1.0F, product_ + row * kBlockChannels, kBlockChannels);
      }
    }
  }

  void store(Bf16* out) const {
    for (int row = 0; row < rows_; ++row) {
      for (std::int64_t i = 0; i < dim_; ++i) {
        out[query_offset(row) + i] =
            to_bf16(out_[static_cast<std::size_t>(row * tiles_.padded_dim + i)] / states_[row].sum);
      }
    }
  }

  const AttentionShape& shape_;
  const SequenceView& sequence_;
  const HeadTiles& tiles_;
  const CpuKernels& kernels_;
  const VectorOps& ops_;
  std::int64_t dim_, group_, first_head_;
  LeftOperand queries_, weights_;
  std::vector<float> out_;
  std::int64_t first_ = 0;
  int rows_ = 0;
  SoftmaxState states_[kBlockRows];
  float keep_[kBlockRows];
  alignas(64) float scores_[kBlockRows][kKeyBlock];
  alignas(64) float product_[kBlockRows * kBlockChannels];
};

// One sequence, one kv head: all its query heads in one pass over the cached rows.
class DecodeHead {
 public:
  DecodeHead(const AttentionShape& shape, const PagedKvCache& cache, const SequenceView& sequence,
             int kv_head, const Bf16* queries)
      : shape_(shape),
        cache_(cache),
        sequence_(sequence),
        ops_(vector_ops(cpu_features())),
        kv_head_(kv_head),
        dim_(cache.shape().head_dim),
        group_(shape.heads / cache.shape().kv_heads),
        sums_(static_cast<std::size_t>(group_ * dim_), 0.0F),
        row_(static_cast<std::size_t>(dim_)),
        scores_(static_cast<std::size_t>(group_ * kKvBlockTokens)),
        keep_(static_cast<std::size_t>(group_)),
        states_(static_cast<std::size_t>(group_), SoftmaxState{kNothing, 0}) {
    for (std::int64_t i = 0; i < group_ * dim_; ++i) {
      queries_.push_back(to_float(queries[kv_head * group_ * dim_ + i]));
    }
  }

  void run(Bf16* out) {
    const std::int64_t first = first_visible(shape_, sequence_.length - 1);
    for (std::int64_t block = first / kKvBlockTokens * kKvBlockTokens; block < sequence_.length;
         block += kKvBlockTokens) {
      low_ = std::max(first, block);
      high_ = std::min(sequence_.length, block + kKvBlockTokens);
      score_keys();
      soften();
      add_values();
    }
    for (std::int64_t i = 0; i < group_ * dim_; ++i) {
      out[kv_head_ * group_ * dim_ + i] = to_bf16(sums_[static_cast<std::size_t>(i)] /
                                                  states_[static_cast<std::size_t>(i / dim_)].sum);
    }
  }

 private:
  float* scores(std::int64_t head) { return scores_.data() + head * kKvBlockTokens; }

  const float* widen(const PagedKvCache::Row& row) {
    ops_.widen(row.values, cache_.shape().format, row.scale, dim_, row_.data());
    return row_.data();
  }

  void score_keys() {
    for (std::int64_t p = low_; p < high_; ++p) {
      const float* const key = widen(cache_.key(sequence_.blocks, p, kv_head_));
      for (std::int64_t h = 0; h < group_; ++h) {
        scores(h)[p - low_] = ops_.dot(queries_.data() + h * dim_, key, dim_) * shape_.scale;
      }
    }
  }

  void soften() {
    for (std::int64_t h = 0; h < group_; ++h) {
      SoftmaxState& state = states_[static_cast<std::size_t>(h)];
      const float largest = std::max(state.max, ops_.maximum(scores(h), high_ - low_));
      const float keep = state.max == kNothing ? 0.0F : std::exp(state.max - largest);
      state = {largest, state.sum * keep + ops_.exponentials(scores(h), high_ - low_, largest)};
      keep_[static_cast<std::size_t>(h)] = keep;
    }
  }

  void add_values() {
    for (std::int64_t p = low_; p < high_; ++p) {
      const float* const value = widen(cache_.value(sequence_.blocks, p, kv_head_));
      for (std::int64_t h = 0; h < group_; ++h) {
        const float keep = p == low_ ? keep_[static_cast<std::size_t>(h)] : 1.0F;
        ops_.accumulate(sums_.data() + h * dim_, keep, scores(h)[p - low_], value, dim_);
      }
    }
  }

  const AttentionShape& shape_;
  const PagedKvCache& cache_;
  const SequenceView& sequence_;
  const VectorOps& ops_;
  int kv_head_;
  std::int64_t dim_, group_, low_ = 0, high_ = 0;
  std::vector<float> queries_, sums_, row_, scores_, keep_;
  std::vector<SoftmaxState> states_;
};

}  // namespace

void attention_prefill(const AttentionShape& shape, const PagedKvCache& cache,
                       const SequenceView& sequence, const Bf16* queries, Bf16* out,
                       WorkerPool& pool) {
  check(shape, cache, sequence);
  const std::int64_t rows = sequence.new_tokens * (shape.heads / cache.shape().kv_heads);
  pool.run(cache.shape().kv_heads, [&](int, std::int64_t begin, std::int64_t end) {
    HeadTiles tiles;
    for (std::int64_t head = begin; head < end; ++head) {
      load_head(cache, sequence, static_cast<int>(head), tiles);
      QueryBlock block(shape, cache, sequence, tiles, static_cast<int>(head));
      for (std::int64_t row = 0; row < rows; row += kBlockRows) {
        block.run(row, static_cast<int>(std::min<std::int64_t>(kBlockRows, rows - row)), queries,
                  out);
      }
    }
  });
}

void attention_decode(const AttentionShape& shape, const PagedKvCache& cache,
                      std::span<const SequenceView> sequences, const Bf16* queries, Bf16* out,
                      WorkerPool& pool) {
  const std::int64_t kv_heads = cache.shape().kv_heads;
  const std::int64_t width = std::int64_t{shape.heads} * cache.shape().head_dim;
  for (const SequenceView& sequence : sequences) {
    check(shape, cache, sequence);
    FT_KERNEL_CHECK(sequence.new_tokens == 1);
  }
  const auto items = static_cast<std::int64_t>(sequences.size()) * kv_heads;
  pool.run(items, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sequence = item / kv_heads;
      DecodeHead(shape, cache, sequences[static_cast<std::size_t>(sequence)],
                 static_cast<int>(item % kv_heads), queries + sequence * width)
          .run(out + sequence * width);
    }
  });
}

std::vector<double> reference_attention(const AttentionShape& shape, const PagedKvCache& cache,
                                        const SequenceView& sequence, const Bf16* queries) {
  check(shape, cache, sequence);
  const int dim = cache.shape().head_dim, group = shape.heads / cache.shape().kv_heads;
  std::vector<double> out;
  std::vector<float> row(static_cast<std::size_t>(dim));
  const auto read = [&](const PagedKvCache::Row& stored) {
    vector_ops_base().widen(stored.values, cache.shape().format, stored.scale, dim, row.data());
  };
  for (std::int64_t token = 0; token < sequence.new_tokens; ++token) {
    const std::int64_t position = sequence.length - sequence.new_tokens + token;
    const std::int64_t first = first_visible(shape, position);
    for (int head = 0; head < shape.heads; ++head) {
      const Bf16* const q = queries + (token * shape.heads + head) * dim;
      std::vector<double> scores;
      for (std::int64_t p = first; p <= position; ++p) {
        read(cache.key(sequence.blocks, p, head / group));
        double sum = 0;
        for (int i = 0; i < dim; ++i) {
          sum += static_cast<double>(to_float(q[i])) * row[static_cast<std::size_t>(i)];
        }
        scores.push_back(sum * static_cast<double>(shape.scale));
      }
      const double largest = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      std::vector<double> result(static_cast<std::size_t>(dim), 0.0);
      for (std::int64_t p = first; p <= position; ++p) {
        const double weight = std::exp(scores[static_cast<std::size_t>(p - first)] - largest);
        total += weight;
        read(cache.value(sequence.blocks, p, head / group));
        for (int i = 0; i < dim; ++i) {
          result[static_cast<std::size_t>(i)] += weight * row[static_cast<std::size_t>(i)];
        }
      }
      for (const double value : result) {
        out.push_back(value / total);
      }
    }
  }
  return out;
}

}  // namespace foretoken::kernels
