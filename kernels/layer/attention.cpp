#include "kernels/layer/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/gemm/cpu_gemm.h"

namespace foretoken::kernels {
namespace {

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

// One kv head of one sequence: its keys and values as the products want them, and 32 queries at a
// time, one per (token, query head of the group), that pass over them. Grows, and is used again for
// the next head.
class PrefillHead {
 public:
  PrefillHead(const AttentionShape& shape, const PagedKvCache& cache, const SequenceView& sequence,
              const PrefillKernels& kernels)
      : shape_(shape),
        cache_(cache),
        sequence_(sequence),
        kernels_(kernels),
        ops_(vector_ops(cpu_features())),
        dim_(cache.shape().head_dim),
        padded_dim_(static_cast<int>(round_up(dim_, 32))),
        group_(shape.heads / cache.shape().kv_heads),
        rows_(sequence.new_tokens * group_),
        // What a head_dim or a format lacks to be read in place passes through these.
        wide_(static_cast<std::size_t>(padded_dim_)),
        ones_(static_cast<std::size_t>(padded_dim_), 1.0F),
        zeros_(static_cast<std::size_t>(padded_dim_)),
        narrow_(static_cast<std::size_t>(kPrefillQueries * padded_dim_)) {
    const auto dim = static_cast<std::size_t>(padded_dim_);
    sums_.reserve(kQueryBlocks * kPrefillQueries * dim * sizeof(float));
    queries_.reserve(kQueryBlocks * kPrefillQueries * dim * 4);
    blocks_.resize(kQueryBlocks);
  }

  // Every `parts`-th run of query blocks: the later ones see more.
  void run(int kv_head, std::int64_t part, std::int64_t parts, const Bf16* queries, Bf16* out) {
    constexpr std::int64_t kRun = std::int64_t{kQueryBlocks} * kPrefillQueries;
    if (part * kRun >= rows_) {
      return;
    }
    kv_head_ = kv_head;
    load_keys();
    for (std::int64_t row = part * kRun; row < rows_; row += parts * kRun) {
      PrefillTask task{keys_.data(), blocks_.data(), 0, padded_dim_, key_stride()};
      for (std::int64_t first = row; first < rows_ && task.query_blocks < kQueryBlocks;
           first += kPrefillQueries) {
        load_queries(task.query_blocks++, first, queries);
      }
      kernels_.attend(task);
      for (int i = 0; i < task.query_blocks; ++i) {
        store(i, row + i * kPrefillQueries, out);
      }
    }
  }

 private:
  // Blocks of queries that share a block of keys and values while it is in the caches.
  static constexpr int kQueryBlocks = 8;

  std::int64_t position(std::int64_t row) const {
    return sequence_.length - sequence_.new_tokens + row / group_;
  }
  std::int64_t query_offset(std::int64_t row) const {
    return (row / group_ * shape_.heads + kv_head_ * group_ + row % group_) * dim_;
  }
  bool in_place() const {
    return kernels_.keys_in_place && dim_ == padded_dim_ && cache_.shape().format == KvFormat::bf16;
  }
  std::int64_t key_stride() const {
    return std::int64_t{padded_dim_} * (in_place() ? 2 : kernels_.element_bytes);
  }

  void load_keys() {
    const std::int64_t first = first_visible(shape_, position(0)) / kPrefillKeys * kPrefillKeys;
    const std::int64_t end = round_up(sequence_.length, kPrefillKeys);
    const auto count = static_cast<std::size_t>(end - first);
    packed_values_.reserve(count * static_cast<std::size_t>(padded_dim_ * kernels_.element_bytes));
    if (!in_place()) {
      packed_keys_.reserve(count * static_cast<std::size_t>(padded_dim_ * kernels_.element_bytes));
    }
    constexpr float kLog2E = 1.44269504088896341F;
    factors_.assign(count, shape_.scale * kLog2E);
    value_scales_.assign(count, 0.0F);
    keys_.assign(static_cast<std::size_t>(end / kPrefillKeys), {});
    for (std::int64_t at = first; at < end; at += kPrefillKeys) {
      load_block(at, at - first);
    }
  }

  // Positions [at, at + 64), of which those behind the end are zeros or whatever else.
  void load_block(std::int64_t at, std::int64_t offset) {
    const bool scaled = cache_.shape().format != KvFormat::bf16;
    PrefillKeys& keys = keys_[static_cast<std::size_t>(at / kPrefillKeys)];
    keys.factors = factors_.data() + offset;
    keys.value_scales = scaled ? value_scales_.data() + offset : nullptr;
    for (std::int64_t i = 0; scaled && i < kPrefillKeys && at + i < sequence_.length; ++i) {
      factors_[static_cast<std::size_t>(offset + i)] *= key(at + i).scale;
      value_scales_[static_cast<std::size_t>(offset + i)] = value(at + i).scale;
    }
    const std::int64_t bytes = std::int64_t{padded_dim_} * kernels_.element_bytes;
    for (int page = 0; page < kPrefillKeys / kPrefillPage; ++page) {
      const std::int64_t from = at + page * kPrefillPage;
      if (in_place()) {  // behind the end any page will do
        keys.keys[page] =
            key(std::min(from, (sequence_.length - 1) / kPrefillPage * kPrefillPage)).values;
        continue;
      }
      std::uint8_t* const to = packed_keys_.as() + (offset + page * kPrefillPage) * bytes;
      kernels_.pack_keys(bf16_rows(kPrefillPage, from, [&](std::int64_t p) { return key(p); }),
                         padded_dim_, to);
      keys.keys[page] = to;
    }
    keys.values = packed_values_.as() + offset * bytes;
    for (int i = 0; i < kPrefillKeys; i += kPrefillValues) {
      kernels_.pack_values(
          bf16_rows(kPrefillValues, at + i, [&](std::int64_t p) { return value(p); }), padded_dim_,
          packed_values_.as() + (offset + i) * bytes);
    }
  }
  PagedKvCache::Row key(std::int64_t position) const {
    return cache_.key(sequence_.blocks, position, kv_head_);
  }
  PagedKvCache::Row value(std::int64_t position) const {
    return cache_.value(sequence_.blocks, position, kv_head_);
  }

  // Rows of the cache without their scales: a byte is exact in bf16, its product with a scale is
  // not.
  template <typename Read>
  const std::uint16_t* const* bf16_rows(int count, std::int64_t first, const Read& read) {
    const KvFormat format = cache_.shape().format;
    for (int i = 0; i < count; ++i) {
      if (first + i >= sequence_.length) {
        row_pointers_[i] = zeros_.data();
        continue;
      }
      const std::uint8_t* const values = read(first + i).values;
      if (format == KvFormat::bf16) {
        set_row(i, reinterpret_cast<const std::uint16_t*>(values));
      } else {
        std::uint16_t* const to = narrow_.data() + i * padded_dim_;
        ops_.widen(values, format, 1.0F, dim_, wide_.data());
        ops_.multiply_narrow(wide_.data(), ones_.data(), padded_dim_, to);
        row_pointers_[i] = to;
      }
    }
    return row_pointers_;
  }
  // In place, or followed by zeros up to padded_dim_.
  void set_row(int i, const std::uint16_t* values) {
    row_pointers_[i] = values;
    if (dim_ != padded_dim_) {
      std::uint16_t* const to = narrow_.data() + i * padded_dim_;
      std::fill(std::copy(values, values + dim_, to), to + padded_dim_, std::uint16_t{0});
      row_pointers_[i] = to;
    }
  }

  void load_queries(int block, std::int64_t first, const Bf16* queries) {
    PrefillQueries& to = blocks_[static_cast<std::size_t>(block)];
    const std::int64_t count = std::int64_t{kPrefillQueries} * padded_dim_;
    for (int i = 0; i < kPrefillQueries; ++i) {
      const std::int64_t row = std::min(first + i, rows_ - 1);
      set_row(i, reinterpret_cast<const std::uint16_t*>(queries + query_offset(row)));
      to.high[i] = position(row);
      to.low[i] = first_visible(shape_, to.high[i]);
      to.reference[i] = kPrefillStart;
      to.total[i] = 0;
    }
    std::uint8_t* const memory = queries_.as() + block * count * 4;
    kernels_.pack_queries(row_pointers_, padded_dim_, memory);
    to.queries = memory;
    to.sums = sums_.as<float>() + block * count;
    std::fill(to.sums, to.sums + count, 0.0F);
  }

  void store(int block, std::int64_t first, Bf16* out) const {
    std::uint16_t* rows[kPrefillQueries];
    const auto count = static_cast<int>(std::min<std::int64_t>(kPrefillQueries, rows_ - first));
    for (int i = 0; i < count; ++i) {
      rows[i] = reinterpret_cast<std::uint16_t*>(out + query_offset(first + i));
    }
    kernels_.store(blocks_[static_cast<std::size_t>(block)], dim_, count, rows);
  }

  const AttentionShape& shape_;
  const PagedKvCache& cache_;
  const SequenceView& sequence_;
  const PrefillKernels& kernels_;
  const VectorOps& ops_;
  int dim_, padded_dim_;
  std::int64_t group_, rows_;
  int kv_head_ = 0;
  std::vector<PrefillKeys> keys_;
  std::vector<PrefillQueries> blocks_;
  std::vector<float> factors_, value_scales_, wide_, ones_;
  std::vector<std::uint16_t> zeros_, narrow_;
  const std::uint16_t* row_pointers_[kPrefillQueries] = {};
  PageBuffer packed_keys_, packed_values_, queries_, sums_;
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

std::vector<const PrefillKernels*> available_prefill_kernels(const CpuFeatures& features) {
  std::vector<const PrefillKernels*> found;
  if (available_isas(features).front() == CpuIsa::amx) {
    found.push_back(&prefill_amx());
  }
  if (features.avx512()) {
    found.push_back(&prefill_avx512());
  }
  if (features.avx2) {
    found.push_back(&prefill_avx2());
  }
  found.push_back(&prefill_base());
  return found;
}

void attention_prefill(const AttentionShape& shape, const PagedKvCache& cache,
                       const SequenceView& sequence, const Bf16* queries, Bf16* out,
                       WorkerPool& pool) {
  attention_prefill(shape, cache, sequence, queries, out, pool,
                    *available_prefill_kernels(cpu_features()).front());
}

void attention_prefill(const AttentionShape& shape, const PagedKvCache& cache,
                       const SequenceView& sequence, const Bf16* queries, Bf16* out,
                       WorkerPool& pool, const PrefillKernels& kernels) {
  check(shape, cache, sequence);
  // With fewer heads than workers several of them rearrange the same keys and values.
  const std::int64_t heads = cache.shape().kv_heads;
  const std::int64_t parts = (pool.threads() + heads - 1) / heads;
  pool.run(heads * parts, [&](int, std::int64_t begin, std::int64_t end) {
    PrefillHead head(shape, cache, sequence, kernels);
    for (std::int64_t i = begin; i < end; ++i) {
      head.run(static_cast<int>(i / parts), i % parts, parts, queries, out);
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
