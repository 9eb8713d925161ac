// A paged KV cache: blocks of 16 tokens that any sequence may own, as serving engines keep it. One
// object holds one layer.
//
// Keys and values each lie as [block][kv head][token in block][head_dim], in bf16 or one byte a
// value; byte formats carry one fp32 scale per token and head, [block][kv head][token in block].
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kernels/base/float_types.h"
#include "kernels/gemm/page_buffer.h"
#include "kernels/layer/vector_ops.h"

namespace foretoken::kernels {

inline constexpr int kKvBlockTokens = 16;

struct KvShape {
  int kv_heads = 0;
  int head_dim = 0;
  KvFormat format = KvFormat::bf16;

  int value_bytes() const { return format == KvFormat::bf16 ? 2 : 1; }
  // Keys and values of one token, scales included.
  std::int64_t bytes_per_token() const {
    return std::int64_t{2} * kv_heads *
           (head_dim * value_bytes() + (format == KvFormat::bf16 ? 0 : 4));
  }
};

// Token `position` of a sequence lies in blocks[position / 16].
using BlockTable = std::span<const std::int32_t>;

class PagedKvCache {
 public:
  PagedKvCache(const KvShape& shape, std::int64_t blocks);

  const KvShape& shape() const { return shape_; }
  std::int64_t blocks() const { return blocks_; }

  // Rounds key and value, [kv_heads][head_dim], to the cache's format.
  void store(BlockTable table, std::int64_t position, std::span<const Bf16> key,
             std::span<const Bf16> value);

  struct Row {
    const std::uint8_t* values;
    float scale;
  };
  Row key(BlockTable table, std::int64_t position, int kv_head) const;
  Row value(BlockTable table, std::int64_t position, int kv_head) const;
  // [block][kv head][16]; null for bf16.
  const float* key_scales() const;
  const float* value_scales() const;

 private:
  struct Side {
    PageBuffer values, scales;
  };
  std::int64_t row(BlockTable table, std::int64_t position, int kv_head) const;
  void store_row(Side& side, std::int64_t row, std::span<const Bf16> values);
  Row read(const Side& side, std::int64_t row) const;

  KvShape shape_;
  std::int64_t blocks_;
  Side keys_, values_;
};

std::string to_string(KvFormat format);

}  // namespace foretoken::kernels
