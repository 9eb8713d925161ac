// The wire codec inside a warp. A warp owns one tile of 1,024 values at a time, as four rows of 32
// lanes with eight consecutive values each: eight 16-bit elements are one 16-byte access, and a
// group of 32, 64 or 128 values is 4, 8 or 16 neighbouring lanes. The packed tile is put together
// in shared memory in its final byte order and moved with 16-byte accesses; so every byte is read
// once and written once, whatever the format. Formats are run-time values, uniform over the launch:
// few kernels, no divergence.
//
// The arithmetic is that of group_rule.h. Compile with -fmad=false.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "kernels/base/float_types.h"
#include "kernels/codec/codec_cuda.h"
#include "kernels/codec/group_rule.h"
#include "kernels/codec/layout.h"

namespace foretoken::kernels::device {

constexpr int kRows = 4;
constexpr int kLaneValues = 8;
constexpr int kRowValues = 32 * kLaneValues;
constexpr unsigned kWarp = 0xffffffffU;
static_assert(kRows * kRowValues == static_cast<int>(kBlockValues));

// What a kernel needs to know of a format and a tile.
struct DeviceFormat {
  WireFormat::Kind kind;
  WireFormat::Scale scale;
  int bits;
  int group;
  bool spike;
  int scale_size;
  int tile_bytes;  // of a whole tile
};

inline DeviceFormat device_format(const WireFormat& format) {
  return {format.kind,
          format.scale,
          format.bits,
          format.group,
          format.spike,
          static_cast<int>(scale_bytes(format)),
          static_cast<int>(packed_bytes(format, kBlockValues))};
}

// Offsets within the packed tile that holds `count` values.
struct TileLayout {
  int values;  // count, filled up to whole groups
  int two;     // the plane of 4 or 8 bits stands at 0
  int one;
  int scales;
  int spikes;
  int positions;
  int bytes;
};

__device__ __forceinline__ TileLayout tile_layout(const DeviceFormat& f, int count) {
  TileLayout t{};
  if (f.group == 0) {
    t.values = count;
    t.bytes = count * f.bits / 8;
    return t;
  }
  const int groups = (count + f.group - 1) / f.group;
  t.values = groups * f.group;
  const PlaneSplit split = plane_split(f.bits);
  t.two = split.four ? t.values / 2 : 0;
  t.one = t.two + (split.two ? t.values / 4 : 0);
  t.scales = t.values * f.bits / 8;
  t.spikes = t.scales + groups * f.scale_size;
  t.positions = t.spikes + (f.spike ? 4 * groups : 0);
  t.bytes = t.positions + (f.spike ? 2 * groups : 0);
  return t;
}

__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) & 31; }

// The index in its tile of the first of this lane's eight values of a row.
__device__ __forceinline__ int first_value(int row) {
  return row * kRowValues + lane() * kLaneValues;
}

using Row = float[kLaneValues];

// ---- values in memory ---------------------------------------------------------------------------

template <typename Pair>
__device__ __forceinline__ Pair pair_of(std::uint32_t word) {
  Pair pair;
  memcpy(static_cast<void*>(&pair), &word, sizeof(word));
  return pair;
}

template <typename Pair>
__device__ __forceinline__ std::uint32_t word_of(const Pair& pair) {
  std::uint32_t word = 0;
  memcpy(&word, static_cast<const void*>(&pair), sizeof(word));
  return word;
}

__device__ __forceinline__ void words_to_floats(ValueType type, uint4 w, Row& x) {
  const std::uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (type == ValueType::bf16) {
      x[2 * i] = __uint_as_float(words[i] << 16);
      x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
    } else {
      const float2 pair = __half22float2(pair_of<__half2>(words[i]));
      x[2 * i] = pair.x;
      x[2 * i + 1] = pair.y;
    }
  }
}

__device__ __forceinline__ uint4 floats_to_words(ValueType type, const Row& x) {
  std::uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (type == ValueType::bf16) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
      words[i] = word_of(pair);
    } else {
      const __half2 pair = __floats2half2_rn(x[2 * i], x[2 * i + 1]);
      words[i] = word_of(pair);
    }
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

template <ValueType Type>
__device__ __forceinline__ float load_one(const void* data, std::size_t i) {
  if constexpr (Type == ValueType::fp32) {
    return static_cast<const float*>(data)[i];
  } else if constexpr (Type == ValueType::bf16) {
    return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
  } else {
    return __half2float(static_cast<const __half*>(data)[i]);
  }
}

template <ValueType Type>
__device__ __forceinline__ void store_one(void* data, std::size_t i, float x) {
  if constexpr (Type == ValueType::fp32) {
    static_cast<float*>(data)[i] = x;
  } else if constexpr (Type == ValueType::bf16) {
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(x);
  } else {
    static_cast<__half*>(data)[i] = __float2half_rn(x);
  }
}

__device__ __forceinline__ bool aligned16(const void* p) {
  return (reinterpret_cast<std::uintptr_t>(p) & 15U) == 0;
}

// This lane's values of the tile that begins at `first`; behind the end of the tensor its last
// value.
template <ValueType Type>
__device__ __forceinline__ void load_tile(const void* data, std::size_t first, std::size_t n,
                                          Row (&x)[kRows]) {
  const bool whole = first + kBlockValues <= n && aligned16(data);
  if (whole) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const std::size_t at = first + static_cast<std::size_t>(first_value(row));
      if constexpr (Type == ValueType::fp32) {
        const auto* from = reinterpret_cast<const float4*>(static_cast<const float*>(data) + at);
        const float4 a = __ldcs(from);
        const float4 b = __ldcs(from + 1);
        x[row][0] = a.x, x[row][1] = a.y, x[row][2] = a.z, x[row][3] = a.w;
        x[row][4] = b.x, x[row][5] = b.y, x[row][6] = b.z, x[row][7] = b.w;
      } else {
        const auto* from =
            reinterpret_cast<const uint4*>(static_cast<const std::uint16_t*>(data) + at);
        words_to_floats(Type, __ldcs(from), x[row]);
      }
    }
    return;
  }
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      const std::size_t at = first + static_cast<std::size_t>(first_value(row) + i);
      x[row][i] = load_one<Type>(data, at < n ? at : n - 1);
    }
  }
}

template <ValueType Type>
__device__ __forceinline__ void store_tile(void* data, std::size_t first, std::size_t n,
                                           const Row (&x)[kRows]) {
  const bool whole = first + kBlockValues <= n && aligned16(data);
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const std::size_t at = first + static_cast<std::size_t>(first_value(row));
    if (!whole) {
#pragma unroll
      for (int i = 0; i < kLaneValues; ++i) {
        if (at + i < n) {
          store_one<Type>(data, at + i, x[row][i]);
        }
      }
    } else if constexpr (Type == ValueType::fp32) {
      auto* to = reinterpret_cast<float4*>(static_cast<float*>(data) + at);
      __stcs(to, make_float4(x[row][0], x[row][1], x[row][2], x[row][3]));
      __stcs(to + 1, make_float4(x[row][4], x[row][5], x[row][6], x[row][7]));
    } else {
      __stcs(reinterpret_cast<uint4*>(static_cast<std::uint16_t*>(data) + at),
             floats_to_words(Type, x[row]));
    }
  }
}

// Moves a packed tile between shared and global memory. Whole tiles are a multiple of 16 bytes and
// stand at one; only the last tile of a message can be ragged.
__device__ __forceinline__ void move_tile(const std::uint8_t* from, std::uint8_t* to, int bytes) {
  int done = 0;
  if (aligned16(from) && aligned16(to)) {
    done = bytes & ~15;
    for (int i = 16 * lane(); i < done; i += 16 * 32) {
      *reinterpret_cast<uint4*>(to + i) = *reinterpret_cast<const uint4*>(from + i);
    }
  }
  for (int i = done + lane(); i < bytes; i += 32) {
    to[i] = from[i];
  }
}

// ---- the range of a group -----------------------------------------------------------------------

struct Extremes {
  float low, low2, high, high2;  // the two smallest and the two largest, with multiplicity
};

// An infinite maximum stands for any value that is not finite: NaN would be lost in fminf.
__device__ __forceinline__ Extremes lane_extremes(const Row& x) {
  Extremes e{fminf(x[0], x[1]), fmaxf(x[0], x[1]), fmaxf(x[0], x[1]), fminf(x[0], x[1])};
  bool finite = is_finite(x[0]) && is_finite(x[1]);
#pragma unroll
  for (int i = 2; i < kLaneValues; ++i) {
    e.low2 = fminf(e.low2, fmaxf(e.low, x[i]));
    e.high2 = fmaxf(e.high2, fminf(e.high, x[i]));
    e.low = fminf(e.low, x[i]);
    e.high = fmaxf(e.high, x[i]);
    finite = finite && is_finite(x[i]);
  }
  if (!finite) {
    e.high = __int_as_float(0x7f800000);
  }
  return e;
}

__device__ __forceinline__ Extremes group_extremes(Extremes e, int lanes, bool spike) {
  for (int step = 1; step < lanes; step <<= 1) {
    const float low = __shfl_xor_sync(kWarp, e.low, step);
    const float high = __shfl_xor_sync(kWarp, e.high, step);
    if (spike) {
      const float low2 = __shfl_xor_sync(kWarp, e.low2, step);
      const float high2 = __shfl_xor_sync(kWarp, e.high2, step);
      e.low2 = fminf(fmaxf(e.low, low), fminf(e.low2, low2));
      e.high2 = fmaxf(fminf(e.high, high), fmaxf(e.high2, high2));
    }
    e.low = fminf(e.low, low);
    e.high = fmaxf(e.high, high);
  }
  return e;
}

// ---- packing ------------------------------------------------------------------------------------

// Positions of the spikes within this lane's eight values; -1 where they are another lane's.
struct LaneSpikes {
  int low = -1;
  int high = -1;
};

// The first lane of the group that holds the minimum and the last that holds the maximum own them.
__device__ __forceinline__ LaneSpikes find_spikes(const Row& x, const Extremes& e, int lanes,
                                                  bool finite) {
  LaneSpikes s;
  const int base = lane() & ~(lanes - 1);
  const unsigned members = (lanes == 32 ? kWarp : ((1U << lanes) - 1U)) << base;
#pragma unroll
  for (int i = kLaneValues - 1; i >= 0; --i) {
    s.low = x[i] == e.low ? i : s.low;
  }
#pragma unroll
  for (int i = 0; i < kLaneValues; ++i) {
    s.high = x[i] == e.high ? i : s.high;
  }
  const unsigned with_low = __ballot_sync(kWarp, s.low >= 0) & members;
  const unsigned with_high = __ballot_sync(kWarp, s.high >= 0) & members;
  if (!finite) {  // by convention the first and the last value
    s.low = lane() == base ? 0 : -1;
    s.high = lane() == base + lanes - 1 ? kLaneValues - 1 : -1;
    return s;
  }
  s.low = lane() == __ffs(static_cast<int>(with_low)) - 1 ? s.low : -1;
  s.high = lane() == 31 - __clz(static_cast<int>(with_high)) ? s.high : -1;
  return s;
}

__device__ __forceinline__ float pick(const Row& x, int index) {
  float value = x[0];
#pragma unroll
  for (int i = 1; i < kLaneValues; ++i) {
    value = i == index ? x[i] : value;
  }
  return value;
}

__device__ __forceinline__ void send_spike(float x, int at, bool poisoned, int which,
                                           std::uint8_t* spikes, std::uint8_t* positions) {
  reinterpret_cast<std::uint16_t*>(spikes)[which] = poisoned ? kBf16Nan : saturated_bf16(x);
  positions[which] = static_cast<std::uint8_t>(at);
}

// Eight code bytes in two words. One code at a time keeps registers few.
struct Codes {
  std::uint32_t word[2];
};

__device__ __forceinline__ Codes quantise_row(const DeviceFormat& f, const Row& x,
                                              const GroupRule& rule) {
  Codes c{{0, 0}};
#pragma unroll
  for (int i = 0; i < kLaneValues; ++i) {
    std::uint32_t code = 0;
    if (f.kind == WireFormat::Kind::fp8) {
      code = rule.poisoned ? 0U : to_fp8_e4m3(__fmul_rn(x[i], rule.inverse)).bits;
    } else {
      float q = __fmul_rn(__fsub_rn(x[i], rule.subtract), rule.inverse);
      q = fmaxf(fminf(q, rule.code_max), rule.code_min);
      code = static_cast<std::uint32_t>(__float2int_rn(q) + rule.bias);
    }
    c.word[i / 4] |= code << (8 * (i % 4));
  }
  return c;
}

__device__ __forceinline__ void clear_code(Codes& c, int index) {
#pragma unroll
  for (int w = 0; w < 2; ++w) {
    if (index >= 4 * w && index < 4 * w + 4) {
      c.word[w] &= ~(0xffU << (8 * (index - 4 * w)));
    }
  }
}

// `width` bits from `shift` of each of four code bytes, side by side.
template <int Width>
__device__ __forceinline__ std::uint32_t gather_bits(std::uint32_t bytes, int shift) {
  constexpr std::uint32_t kMask = ((1U << Width) - 1U) * 0x01010101U;
  std::uint32_t t = (bytes >> shift) & kMask;
  t = (t | (t >> (8 - Width))) & (((1U << (2 * Width)) - 1U) * 0x00010001U);
  return (t | (t >> (16 - 2 * Width))) & ((1U << (4 * Width)) - 1U);
}

// The inverse: four fields of `width` bits into four bytes.
template <int Width>
__device__ __forceinline__ std::uint32_t scatter_bits(std::uint32_t fields) {
  constexpr std::uint32_t kMask = ((1U << Width) - 1U) * 0x01010101U;
  std::uint32_t t =
      (fields | (fields << (16 - 2 * Width))) & (((1U << (2 * Width)) - 1U) * 0x00010001U);
  return (t | (t << (8 - Width))) & kMask;
}

__device__ __forceinline__ void store_codes(const DeviceFormat& f, const TileLayout& t, int value,
                                            const Codes& c, std::uint8_t* tile) {
  const PlaneSplit split = plane_split(f.bits);
  if (split.eight) {
    *reinterpret_cast<uint2*>(tile + value) = make_uint2(c.word[0], c.word[1]);
    return;
  }
  if (split.four) {
    *reinterpret_cast<std::uint32_t*>(tile + value / 2) =
        gather_bits<4>(c.word[0], 0) | (gather_bits<4>(c.word[1], 0) << 16);
  }
  if (split.two) {
    *reinterpret_cast<std::uint16_t*>(tile + t.two + value / 4) =
        static_cast<std::uint16_t>(gather_bits<2>(c.word[0], split.two_shift) |
                                   (gather_bits<2>(c.word[1], split.two_shift) << 8));
  }
  if (split.one) {
    tile[t.one + value / 8] =
        static_cast<std::uint8_t>(gather_bits<1>(c.word[0], split.one_shift) |
                                  (gather_bits<1>(c.word[1], split.one_shift) << 4));
  }
}

__device__ __forceinline__ void store_scale(std::uint8_t* to, std::uint32_t metadata, int size) {
  if (size == 4) {
    *reinterpret_cast<std::uint32_t*>(to) = metadata;
  } else {
    *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(metadata);
  }
}

__device__ __forceinline__ void pack_grouped_row(const DeviceFormat& f, const TileLayout& t,
                                                 int row, const Row& x, std::uint8_t* tile) {
  const int lanes = f.group / kLaneValues;
  const Extremes e = group_extremes(lane_extremes(x), lanes, f.spike);
  const bool finite = is_finite(e.low) && is_finite(e.high);
  const GroupRange range{f.spike ? e.low2 : e.low, f.spike ? e.high2 : e.high, finite};
  const GroupRule rule = group_rule(f.scale, f.bits, range);
  LaneSpikes s;
  if (f.spike) {
    s = find_spikes(x, e, lanes, finite);
  }
  const int value = first_value(row);
  if (value >= t.values) {
    return;
  }
  const int group = value / f.group;
  if ((lane() & (lanes - 1)) == 0) {
    store_scale(tile + t.scales + group * f.scale_size, rule.metadata, f.scale_size);
  }
  Codes codes = quantise_row(f, x, rule);
  const int in_group = value % f.group;
  if (s.low >= 0) {
    send_spike(pick(x, s.low), in_group + s.low, rule.poisoned, 0, tile + t.spikes + 4 * group,
               tile + t.positions + 2 * group);
    clear_code(codes, s.low);
  }
  if (s.high >= 0) {
    send_spike(pick(x, s.high), in_group + s.high, rule.poisoned, 1, tile + t.spikes + 4 * group,
               tile + t.positions + 2 * group);
    clear_code(codes, s.high);
  }
  store_codes(f, t, value, codes, tile);
}

__device__ __forceinline__ void pack_plain_row(const DeviceFormat& f, int row, const Row& x,
                                               std::uint8_t* tile) {
  const int value = first_value(row);
  if (f.kind == WireFormat::Kind::fp32) {
    auto* to = reinterpret_cast<float4*>(tile + 4 * value);
    to[0] = make_float4(x[0], x[1], x[2], x[3]);
    to[1] = make_float4(x[4], x[5], x[6], x[7]);
  } else if (f.kind == WireFormat::Kind::fp8) {
    std::uint32_t words[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      words[i / 4] |= static_cast<std::uint32_t>(to_fp8_e4m3(x[i]).bits) << (8 * (i % 4));
    }
    *reinterpret_cast<uint2*>(tile + value) = make_uint2(words[0], words[1]);
  } else {
    const ValueType type = f.kind == WireFormat::Kind::bf16 ? ValueType::bf16 : ValueType::fp16;
    *reinterpret_cast<uint4*>(tile + 2 * value) = floats_to_words(type, x);
  }
}

// Puts the packed tile together in `tile` (shared, 16-byte aligned, room for a whole tile).
__device__ __forceinline__ void pack_tile(const DeviceFormat& f, const TileLayout& t,
                                          const Row (&x)[kRows], std::uint8_t* tile) {
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    if (f.group != 0) {
      pack_grouped_row(f, t, row, x[row], tile);
    } else {
      pack_plain_row(f, row, x[row], tile);
    }
  }
}

// ---- unpacking ----------------------------------------------------------------------------------

__device__ __forceinline__ Codes load_codes(const DeviceFormat& f, const TileLayout& t, int value,
                                            const std::uint8_t* tile) {
  const PlaneSplit split = plane_split(f.bits);
  Codes c{{0, 0}};
  if (split.eight) {
    const uint2 w = *reinterpret_cast<const uint2*>(tile + value);
    return {{w.x, w.y}};
  }
  if (split.four) {
    const std::uint32_t w = *reinterpret_cast<const std::uint32_t*>(tile + value / 2);
    c.word[0] = scatter_bits<4>(w & 0xffffU);
    c.word[1] = scatter_bits<4>(w >> 16);
  }
  if (split.two) {
    const std::uint32_t w = *reinterpret_cast<const std::uint16_t*>(tile + t.two + value / 4);
    c.word[0] |= scatter_bits<2>(w & 0xffU) << split.two_shift;
    c.word[1] |= scatter_bits<2>(w >> 8) << split.two_shift;
  }
  if (split.one) {
    const std::uint32_t w = tile[t.one + value / 8];
    c.word[0] |= scatter_bits<1>(w & 0xfU) << split.one_shift;
    c.word[1] |= scatter_bits<1>(w >> 4) << split.one_shift;
  }
  return c;
}

__device__ __forceinline__ void unpack_grouped_row(const DeviceFormat& f, const TileLayout& t,
                                                   int row, const std::uint8_t* tile, Row& x) {
  const int value = first_value(row);
  if (value >= t.values) {
    return;
  }
  const int group = value / f.group;
  const std::uint8_t* scale_at = tile + t.scales + group * f.scale_size;
  const std::uint32_t metadata = f.scale_size == 4
                                     ? *reinterpret_cast<const std::uint32_t*>(scale_at)
                                     : *reinterpret_cast<const std::uint16_t*>(scale_at);
  const GroupScale s = group_scale(f.scale, f.bits, metadata);
  const Codes c = load_codes(f, t, value, tile);
#pragma unroll
  for (int i = 0; i < kLaneValues; ++i) {
    const std::uint32_t code = (c.word[i / 4] >> (8 * (i % 4))) & 0xffU;
    x[i] = f.kind == WireFormat::Kind::fp8
               ? __fmul_rn(to_float(Fp8E4m3{static_cast<std::uint8_t>(code)}), s.scale)
               : __fmaf_rn(static_cast<float>(code), s.scale, s.offset);
  }
  if (f.spike) {
    const auto* spikes = reinterpret_cast<const std::uint16_t*>(tile + t.spikes + 4 * group);
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      const int at = tile[t.positions + 2 * group + which] - value % f.group;
      const float spike = __uint_as_float(static_cast<std::uint32_t>(spikes[which]) << 16);
#pragma unroll
      for (int i = 0; i < kLaneValues; ++i) {
        x[i] = i == at ? spike : x[i];
      }
    }
  }
}

__device__ __forceinline__ void unpack_plain_row(const DeviceFormat& f, int row,
                                                 const std::uint8_t* tile, Row& x) {
  const int value = first_value(row);
  if (f.kind == WireFormat::Kind::fp32) {
    const auto* from = reinterpret_cast<const float*>(tile) + value;
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      x[i] = from[i];
    }
  } else if (f.kind == WireFormat::Kind::fp8) {
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      x[i] = to_float(Fp8E4m3{tile[value + i]});
    }
  } else {
    const ValueType type = f.kind == WireFormat::Kind::bf16 ? ValueType::bf16 : ValueType::fp16;
    words_to_floats(type, *reinterpret_cast<const uint4*>(tile + 2 * value), x);
  }
}

// Reads or adds the packed tile to `x`.
template <bool Accumulate>
__device__ __forceinline__ void unpack_tile(const DeviceFormat& f, const TileLayout& t,
                                            const std::uint8_t* tile, Row (&x)[kRows]) {
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    Row y = {};
    if (f.group != 0) {
      unpack_grouped_row(f, t, row, tile, y);
    } else {
      unpack_plain_row(f, row, tile, y);
    }
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      x[row][i] = Accumulate ? __fadd_rn(x[row][i], y[i]) : y[i];
    }
  }
}

// Fills the values behind the end of the tensor with its last value, so that the last group can be
// packed. `slot` is shared memory for that one value.
__device__ __forceinline__ void fill_up(int count, Row (&x)[kRows], float* slot) {
  if (count == static_cast<int>(kBlockValues)) {
    return;
  }
  __syncwarp();
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      if (first_value(row) + i == count - 1) {
        *slot = x[row][i];
      }
    }
  }
  __syncwarp();
  const float value = *slot;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int i = 0; i < kLaneValues; ++i) {
      x[row][i] = first_value(row) + i < count ? x[row][i] : value;
    }
  }
  __syncwarp();
}

// ---- whole tiles --------------------------------------------------------------------------------
//
// What a warp does with tile number `tile` of a message of n values; `room` is its own shared
// memory, 16-byte aligned, big enough for a whole packed tile of every format involved.

struct Inputs {
  const std::uint8_t* message[kCudaMaxInputs];
  int count;
};

__device__ __forceinline__ int tile_count(std::size_t tile, std::size_t n) {
  const std::size_t left = n - tile * kBlockValues;
  return static_cast<int>(left < kBlockValues ? left : kBlockValues);
}

template <ValueType Type>
__device__ __forceinline__ void warp_pack(const DeviceFormat& f, const void* in, std::size_t n,
                                          std::size_t tile, std::uint8_t* out, std::uint8_t* room) {
  Row x[kRows];
  load_tile<Type>(in, tile * kBlockValues, n, x);
  const TileLayout t = tile_layout(f, tile_count(tile, n));
  pack_tile(f, t, x, room);
  __syncwarp();
  move_tile(room, out + tile * static_cast<std::size_t>(f.tile_bytes), t.bytes);
}

// The sum of the tile over all inputs, in their order.
__device__ __forceinline__ void warp_sum(const DeviceFormat& f, const Inputs& inputs, std::size_t n,
                                         std::size_t tile, std::uint8_t* room, Row (&x)[kRows]) {
  const TileLayout t = tile_layout(f, tile_count(tile, n));
  const std::size_t offset = tile * static_cast<std::size_t>(f.tile_bytes);
  move_tile(inputs.message[0] + offset, room, t.bytes);
  __syncwarp();
  unpack_tile<false>(f, t, room, x);
  for (int i = 1; i < inputs.count; ++i) {
    __syncwarp();
    move_tile(inputs.message[i] + offset, room, t.bytes);
    __syncwarp();
    unpack_tile<true>(f, t, room, x);
  }
}

template <ValueType Type>
__device__ __forceinline__ void warp_unpack(const DeviceFormat& f, const Inputs& inputs,
                                            std::size_t n, std::size_t tile, void* out,
                                            std::uint8_t* room) {
  Row x[kRows];
  warp_sum(f, inputs, n, tile, room, x);
  store_tile<Type>(out, tile * kBlockValues, n, x);
}

__device__ __forceinline__ void warp_reduce_pack(const DeviceFormat& from, const Inputs& inputs,
                                                 std::size_t n, const DeviceFormat& to,
                                                 std::size_t tile, std::uint8_t* out,
                                                 std::uint8_t* room) {
  Row x[kRows];
  warp_sum(from, inputs, n, tile, room, x);
  const int count = tile_count(tile, n);
  fill_up(count, x, reinterpret_cast<float*>(room));
  __syncwarp();
  const TileLayout t = tile_layout(to, count);
  pack_tile(to, t, x, room);
  __syncwarp();
  move_tile(room, out + tile * static_cast<std::size_t>(to.tile_bytes), t.bytes);
}

}  // namespace foretoken::kernels::device
