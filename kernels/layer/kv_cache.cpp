#include "kernels/layer/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/gemm/descriptor.h"

namespace foretoken::kernels {

std::string to_string(KvFormat format) {
  return format == KvFormat::bf16 ? "bf16" : format == KvFormat::int8 ? "int8" : "fp8";
}

PagedKvCache::PagedKvCache(const KvShape& shape, std::int64_t blocks)
    : shape_(shape), blocks_(blocks) {
  FT_KERNEL_CHECK(shape.kv_heads > 0 && shape.head_dim > 0 && blocks > 0);
  const auto rows = static_cast<std::size_t>(blocks * shape.kv_heads * kKvBlockTokens);
  for (Side* side : {&keys_, &values_}) {
    side->values =
        PageBuffer(rows * static_cast<std::size_t>(shape.head_dim * shape.value_bytes()));
    side->scales = PageBuffer(shape.format == KvFormat::bf16 ? 0 : rows * 4);
  }
}

void PagedKvCache::store(BlockTable table, std::int64_t position, std::span<const Bf16> key,
                         std::span<const Bf16> value) {
  const auto dim = static_cast<std::size_t>(shape_.head_dim);
  FT_KERNEL_CHECK(key.size() == static_cast<std::size_t>(shape_.kv_heads) * dim &&
                  value.size() == key.size());
  for (int head = 0; head < shape_.kv_heads; ++head) {
    const std::int64_t at = row(table, position, head);
    store_row(keys_, at, key.subspan(static_cast<std::size_t>(head) * dim, dim));
    store_row(values_, at, value.subspan(static_cast<std::size_t>(head) * dim, dim));
  }
}

std::int64_t PagedKvCache::row(BlockTable table, std::int64_t position, int kv_head) const {
  const auto index = static_cast<std::size_t>(position / kKvBlockTokens);
  FT_KERNEL_CHECK(index < table.size() && table[index] >= 0 && table[index] < blocks_);
  return (std::int64_t{table[index]} * shape_.kv_heads + kv_head) * kKvBlockTokens +
         position % kKvBlockTokens;
}

void PagedKvCache::store_row(Side& side, std::int64_t row, std::span<const Bf16> values) {
  std::uint8_t* const out = side.values.as() + row * shape_.head_dim * shape_.value_bytes();
  if (shape_.format == KvFormat::bf16) {
    std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  const VectorOps& ops = vector_ops(cpu_features());
  const auto* const bits = reinterpret_cast<const std::uint16_t*>(values.data());
  const float limit =
      shape_.format == KvFormat::int8 ? static_cast<float>(kActivationLimit) : kFp8E4m3Max;
  const float scale =
      std::max(ops.largest(bits, shape_.head_dim) / limit, std::numeric_limits<float>::min());
  side.scales.as<float>()[row] = scale;
  if (shape_.format == KvFormat::int8) {
    ops.quantize_int8(bits, shape_.head_dim, scale, reinterpret_cast<std::int8_t*>(out));
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i] = to_fp8_e4m3(to_float(values[i]) / scale).bits;
  }
}

PagedKvCache::Row PagedKvCache::read(const Side& side, std::int64_t row) const {
  return {side.values.as() + row * shape_.head_dim * shape_.value_bytes(),
          shape_.format == KvFormat::bf16 ? 1.0F : side.scales.as<float>()[row]};
}

const float* PagedKvCache::key_scales() const {
  return shape_.format == KvFormat::bf16 ? nullptr : keys_.scales.as<float>();
}

const float* PagedKvCache::value_scales() const {
  return shape_.format == KvFormat::bf16 ? nullptr : values_.scales.as<float>();
}

PagedKvCache::Row PagedKvCache::key(BlockTable table, std::int64_t position, int kv_head) const {
  return read(keys_, row(table, position, kv_head));
}

PagedKvCache::Row PagedKvCache::value(BlockTable table, std::int64_t position, int kv_head) const {
  return read(values_, row(table, position, kv_head));
}

}  // namespace foretoken::kernels
