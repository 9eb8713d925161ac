#include "kernels/codec/codec.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/cpu_features.h"
#include "kernels/base/error.h"
#include "kernels/codec/tile_kernels.h"

namespace foretoken::kernels {
namespace {

using Kind = WireFormat::Kind;

// The values of one tile and where they stand in the packed message.
struct Tile {
  std::size_t first = 0;
  std::size_t count = 0;
  std::size_t offset = 0;  // bytes
  BlockLayout layout;      // grouped formats only
};

Tile tile_at(const WireFormat& format, std::size_t first, std::size_t n) {
  Tile tile;
  tile.first = first;
  tile.count = std::min(kBlockValues, n - first);
  tile.offset = packed_bytes(format, first);  // whole blocks stand before it
  if (format.grouped()) {
    tile.layout = block_layout(format, group_count(format, tile.count));
  }
  return tile;
}

struct alignas(64) TileValues {
  float data[kBlockValues];
};
struct alignas(64) TileCodes {
  std::uint8_t data[kBlockValues];
};
struct alignas(64) RunCodes {
  std::uint8_t data[kTilesAtOnce * kBlockValues];
};

ValueType element_type(Kind kind) {
  return kind == Kind::fp32   ? ValueType::fp32
         : kind == Kind::bf16 ? ValueType::bf16
                              : ValueType::fp16;
}

const void* at(const void* data, ValueType type, std::size_t index) {
  return static_cast<const std::uint8_t*>(data) + index * value_bytes(type);
}

void* at(void* data, ValueType type, std::size_t index) {
  return static_cast<std::uint8_t*>(data) + index * value_bytes(type);
}

void load_values(const TileKernels& k, ValueType type, const void* in, std::size_t n, float* out) {
  if (type == ValueType::fp32) {
    std::memcpy(out, in, n * sizeof(float));
  } else {
    k.load(type, in, n, out);
  }
}

void store_values(const TileKernels& k, ValueType type, const float* in, std::size_t n, void* out) {
  if (type == ValueType::fp32) {
    std::memcpy(out, in, n * sizeof(float));
  } else {
    k.store(type, in, n, out);
  }
}

bool element_aligned(const void* p, ValueType type) {
  return reinterpret_cast<std::uintptr_t>(p) % value_bytes(type) == 0;
}

// The tile's values, aligned, and filled up to whole groups with the last one.
ConstValues padded_tile(const Tile& tile, ConstValues in, TileValues& room) {
  const void* source = at(in.data, in.type, tile.first);
  if (tile.count == tile.layout.values && element_aligned(source, in.type)) {
    return {source, in.type};
  }
  const std::size_t size = value_bytes(in.type);
  auto* to = reinterpret_cast<std::uint8_t*>(room.data);
  std::memcpy(to, source, tile.count * size);
  for (std::size_t i = tile.count; i < tile.layout.values; ++i) {
    std::memcpy(to + i * size, to + (tile.count - 1) * size, size);
  }
  return {to, in.type};
}

// `tiles` blocks of one layout, one after the other.
void pack_blocks(const TileKernels& k, const WireFormat& format, const BlockLayout& layout,
                 std::size_t tiles, ConstValues values, std::uint8_t* blocks) {
  if (format.bits == 8) {
    k.quantise(format, layout, {tiles, blocks, layout.bytes, blocks, layout.bytes}, values);
    return;
  }
  RunCodes codes;
  const TileRun run{tiles, codes.data, layout.values, blocks, layout.bytes};
  k.quantise(format, layout, run, values);
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    k.pack_planes(format.bits, run.codes(tile), layout.values, run.block(tile));
  }
}

void unpack_block(const TileKernels& k, const WireFormat& format, const BlockLayout& layout,
                  const std::uint8_t* block, MutableValues out, bool accumulate) {
  if (format.bits == 8) {
    k.dequantise(format, layout, block, block, out, accumulate);
    return;
  }
  TileCodes codes;
  k.unpack_planes(format.bits, block, layout.values, codes.data);
  k.dequantise(format, layout, codes.data, block, out, accumulate);
}

void pack_ungrouped(const TileKernels& k, Kind kind, const float* values, std::size_t n,
                    std::uint8_t* out) {
  if (kind == Kind::fp8) {
    k.encode_fp8(values, n, out);
  } else {
    store_values(k, element_type(kind), values, n, out);
  }
}

void unpack_ungrouped(const TileKernels& k, Kind kind, const std::uint8_t* in, std::size_t n,
                      float* out) {
  if (kind == Kind::fp8) {
    k.decode_fp8(in, n, out);
  } else {
    load_values(k, element_type(kind), in, n, out);
  }
}

void pack_tile(const TileKernels& k, const WireFormat& format, const Tile& tile, ConstValues in,
               std::uint8_t* out) {
  TileValues room;
  if (format.grouped()) {
    pack_blocks(k, format, tile.layout, 1, padded_tile(tile, in, room), out + tile.offset);
    return;
  }
  load_values(k, in.type, at(in.data, in.type, tile.first), tile.count, room.data);
  pack_ungrouped(k, format.kind, room.data, tile.count, out + tile.offset);
}

// All whole tiles, several at a time; returns how many values that were.
std::size_t pack_whole_tiles(const TileKernels& k, const WireFormat& format, ConstValues in,
                             std::size_t n, std::uint8_t* out) {
  const std::size_t whole = n / kBlockValues;
  for (std::size_t tile = 0; tile < whole; tile += kTilesAtOnce) {
    const Tile first = tile_at(format, tile * kBlockValues, n);
    pack_blocks(k, format, first.layout, std::min(kTilesAtOnce, whole - tile),
                {at(in.data, in.type, first.first), in.type}, out + first.offset);
  }
  return whole * kBlockValues;
}

void add(const TileKernels& k, const std::uint8_t* values, std::size_t n, float* sum) {
  auto* to = reinterpret_cast<std::uint8_t*>(sum);
  const std::uint8_t* const both[] = {to, values};
  k.sum(both, 2, n, to);
}

// Writes or adds the tile to `out`, which has room for whole groups.
void unpack_tile(const TileKernels& k, const WireFormat& format, const Tile& tile,
                 const std::uint8_t* in, float* out, bool accumulate) {
  if (format.grouped()) {
    unpack_block(k, format, tile.layout, in + tile.offset, {out, ValueType::fp32}, accumulate);
    return;
  }
  if (!accumulate) {
    unpack_ungrouped(k, format.kind, in + tile.offset, tile.count, out);
    return;
  }
  if (format.kind == Kind::fp32) {
    add(k, in + tile.offset, tile.count, out);
    return;
  }
  TileValues room;
  unpack_ungrouped(k, format.kind, in + tile.offset, tile.count, room.data);
  add(k, reinterpret_cast<const std::uint8_t*>(room.data), tile.count, out);
}

// The sum of one tile of all inputs: in `direct` when that can hold it, else in `room`.
float* sum_tile(const TileKernels& k, const WireFormat& format, const Tile& tile,
                std::span<const std::uint8_t* const> inputs, float* direct, TileValues& room) {
  const bool whole = !format.grouped() || tile.count == tile.layout.values;
  float* sum = direct != nullptr && whole ? direct : room.data;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    unpack_tile(k, format, tile, inputs[i], sum, i != 0);
  }
  return sum;
}

bool plain_copy(const WireFormat& format, ValueType type) {
  return !format.grouped() && format.kind != Kind::fp8 && element_type(format.kind) == type;
}

}  // namespace

std::string_view to_string(ValueType type) {
  return type == ValueType::fp32 ? "fp32" : type == ValueType::bf16 ? "bf16" : "fp16";
}

std::string_view Codec::name() const { return kernels_->name; }

void Codec::pack(const WireFormat& format, ConstValues in, std::size_t n, std::uint8_t* out) const {
  if (plain_copy(format, in.type)) {
    std::memcpy(out, in.data, packed_bytes(format, n));
    return;
  }
  std::size_t first = 0;
  if (format.grouped() && element_aligned(in.data, in.type)) {
    first = pack_whole_tiles(*kernels_, format, in, n, out);
  }
  for (; first < n; first += kBlockValues) {
    pack_tile(*kernels_, format, tile_at(format, first, n), in, out);
  }
}

void Codec::unpack(const WireFormat& format, const std::uint8_t* in, std::size_t n,
                   MutableValues out) const {
  if (plain_copy(format, out.type)) {
    std::memcpy(out.data, in, packed_bytes(format, n));
    return;
  }
  const std::uint8_t* const inputs[] = {in};
  unpack_accumulate(format, inputs, n, out);
}

void Codec::unpack_accumulate(const WireFormat& format, std::span<const std::uint8_t* const> inputs,
                              std::size_t n, MutableValues out) const {
  FT_KERNEL_CHECK(!inputs.empty());
  if (format.kind == Kind::fp32 && out.type == ValueType::fp32) {
    kernels_->sum(inputs.data(), inputs.size(), n, static_cast<std::uint8_t*>(out.data));
    return;
  }
  TileValues room;
  for (std::size_t first = 0; first < n; first += kBlockValues) {
    const Tile tile = tile_at(format, first, n);
    void* target = at(out.data, out.type, first);
    const bool aligned = element_aligned(target, out.type);
    if (inputs.size() == 1 && format.grouped() && tile.count == tile.layout.values && aligned) {
      unpack_block(*kernels_, format, tile.layout, inputs[0] + tile.offset, {target, out.type},
                   false);
      continue;
    }
    float* direct = out.type == ValueType::fp32 && aligned ? static_cast<float*>(target) : nullptr;
    const float* sum = sum_tile(*kernels_, format, tile, inputs, direct, room);
    if (sum != direct) {
      store_values(*kernels_, out.type, sum, tile.count, target);
    }
  }
}

void Codec::unpack_reduce_pack(const WireFormat& from, std::span<const std::uint8_t* const> inputs,
                               std::size_t n, const WireFormat& to, std::uint8_t* out) const {
  FT_KERNEL_CHECK(!inputs.empty());
  if (from.kind == Kind::fp32 && to.kind == Kind::fp32) {
    kernels_->sum(inputs.data(), inputs.size(), n, out);
    return;
  }
  TileValues room;
  for (std::size_t first = 0; first < n; first += kBlockValues) {
    const Tile tile = tile_at(from, first, n);
    sum_tile(*kernels_, from, tile, inputs, nullptr, room);
    const Tile target = tile_at(to, first, n);
    if (to.grouped()) {
      std::fill(room.data + tile.count, room.data + target.layout.values,
                room.data[tile.count - 1]);
      pack_blocks(*kernels_, to, target.layout, 1, {room.data, ValueType::fp32},
                  out + target.offset);
    } else {
      pack_ungrouped(*kernels_, to.kind, room.data, target.count, out + target.offset);
    }
  }
}

const Codec& reference_codec() {
  static const Codec codec(reference_tile_kernels());
  return codec;
}

std::vector<const Codec*> available_codecs() {
  std::vector<const Codec*> codecs{&reference_codec()};
#if defined(__x86_64__)
  const CpuFeatures& cpu = cpu_features();
  if (cpu.avx2) {
    static const Codec avx2(avx2_tile_kernels());
    codecs.push_back(&avx2);
  }
  if (cpu.avx512() && cpu.avx512vbmi) {
    static const Codec avx512(avx512_tile_kernels());
    codecs.push_back(&avx512);
    if (cpu.avx512bf16) {
      static const Codec avx512_bf16(avx512_bf16_tile_kernels());
      codecs.push_back(&avx512_bf16);
    }
  }
#endif
  return codecs;
}

const Codec& best_codec() {
  static const Codec& best = *available_codecs().back();
  return best;
}

}  // namespace foretoken::kernels
