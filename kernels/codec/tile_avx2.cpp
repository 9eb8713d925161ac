// AVX2 with FMA and F16C. The same steps as tile_avx512.cpp on half as wide and half as many
// registers: a group is read twice, from the first-level cache. Everything here has internal
// linkage or is forced inline: see kernels/base/force_inline.h.
#include <immintrin.h>

#include <cstring>

#include "kernels/base/float_types.h"
#include "kernels/codec/group_rule.h"
#include "kernels/codec/tile_kernels.h"

namespace foretoken::kernels {
namespace {

FT_INLINE __m256i load256(const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

FT_INLINE void store256(std::uint8_t* to, __m256i x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x);
}

FT_INLINE __m128i load128(const std::uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

FT_INLINE void store128(std::uint8_t* to, __m128i x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x);
}

FT_INLINE __m128i load64(const std::uint8_t* from) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
}

// Eight 32-bit lanes of at most 16 bits to 16-bit lanes in order.
FT_INLINE __m128i narrow_to_16(__m256i x) {
  const __m256i packed = _mm256_packus_epi32(x, x);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

// ---- element types ------------------------------------------------------------------------------

FT_INLINE __m256 bf16_to_fp32(__m128i h) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

FT_INLINE __m128i fp32_to_bf16(__m256 x) {
  const __m256i u = _mm256_castps_si256(x);
  const __m256i high = _mm256_srli_epi32(u, 16);
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i biased = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return narrow_to_16(_mm256_blendv_epi8(_mm256_srli_epi32(biased, 16), quiet, nan));
}

FT_INLINE __m128i fp32_to_fp16(__m256 x) {
  return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

FT_INLINE __m256i fp32_to_fp8(__m256 x) {
  const __m256i u = _mm256_castps_si256(x);
  const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(u, 24), _mm256_set1_epi32(0x80));
  const __m256i magnitude = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(magnitude, 20), _mm256_set1_epi32(1));
  const __m256i biased =
      _mm256_add_epi32(_mm256_add_epi32(magnitude, _mm256_set1_epi32(0x7ffff - 0x3c000000)), odd);
  const __m256 shifted = _mm256_add_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(0x1p14F));
  const __m256i small =
      _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(0x46800000));
  const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), magnitude);
  const __m256i large = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x43e00000 - 1));
  const __m256i special = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000 - 1));
  __m256i code = _mm256_blendv_epi8(_mm256_srli_epi32(biased, 20), small, is_small);
  code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7e), large);
  code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7f), special);
  return _mm256_or_si256(code, sign);
}

FT_INLINE __m256 fp8_to_fp32(__m128i eight_codes) {
  const __m128i c = _mm_cvtepu8_epi16(eight_codes);
  const __m128i magnitude = _mm_and_si128(c, _mm_set1_epi16(0x7f));
  const __m128i sign = _mm_slli_epi16(_mm_xor_si128(c, magnitude), 8);
  const __m128i half = _mm_or_si128(_mm_slli_epi16(magnitude, 7), sign);
  const __m256i nan = _mm256_cvtepi16_epi32(_mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f)));
  const __m256 value = _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0F));
  const __m256 quiet = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(kQuietNan)));
  return _mm256_blendv_ps(value, quiet, _mm256_castsi256_ps(nan));
}

// Code bytes of eight lanes, in the low half.
FT_INLINE __m128i narrow_to_8(__m256i x) {
  const __m128i words = narrow_to_16(x);
  return _mm_packus_epi16(words, words);
}

FT_INLINE void store64(std::uint8_t* to, __m128i x) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), x);
}

// The last few values go through a buffer of eight.
void load(ValueType type, const void* in, std::size_t n, float* out) {
  const auto* half = static_cast<const std::uint8_t*>(in);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = load128(half + 2 * i);
    _mm256_storeu_ps(out + i, type == ValueType::bf16 ? bf16_to_fp32(h) : _mm256_cvtph_ps(h));
  }
  if (i < n) {
    std::uint8_t rest[16] = {};
    float values[8];
    __builtin_memcpy(rest, half + 2 * i, 2 * (n - i));
    load(type, rest, 8, values);
    __builtin_memcpy(out + i, values, 4 * (n - i));
  }
}

void store(ValueType type, const float* in, std::size_t n, void* out) {
  auto* half = static_cast<std::uint8_t*>(out);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 x = _mm256_loadu_ps(in + i);
    store128(half + 2 * i, type == ValueType::bf16 ? fp32_to_bf16(x) : fp32_to_fp16(x));
  }
  if (i < n) {
    float rest[8] = {};
    std::uint8_t values[16];
    __builtin_memcpy(rest, in + i, 4 * (n - i));
    store(type, rest, 8, values);
    __builtin_memcpy(half + 2 * i, values, 2 * (n - i));
  }
}

FT_INLINE __m256 load_fp32(const std::uint8_t* from) {
  return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

void sum(const std::uint8_t* const* inputs, std::size_t count, std::size_t n, std::uint8_t* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 total = load_fp32(inputs[0] + 4 * i);
    for (std::size_t k = 1; k < count; ++k) {
      total = _mm256_add_ps(total, load_fp32(inputs[k] + 4 * i));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 4 * i), _mm256_castps_si256(total));
  }
  for (; i < n; ++i) {
    sum_one(inputs, count, i, out);
  }
}

void encode_fp8(const float* in, std::size_t n, std::uint8_t* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    store64(out + i, narrow_to_8(fp32_to_fp8(_mm256_loadu_ps(in + i))));
  }
  for (; i < n; ++i) {
    out[i] = to_fp8_e4m3(in[i]).bits;
  }
}

void decode_fp8(const std::uint8_t* in, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(out + i, fp8_to_fp32(load64(in + i)));
  }
  for (; i < n; ++i) {
    out[i] = to_float(Fp8E4m3{in[i]});
  }
}

// ---- the range of a group -----------------------------------------------------------------------

// Minimum of `low` and maximum of `high` over their lanes, as one minimum: see tile_avx512.cpp.
FT_INLINE void reduce(__m256 low, __m256 high, float& least_low, float& greatest_high) {
  const __m256 negated = _mm256_xor_ps(high, _mm256_set1_ps(-0.0F));
  __m256 t = _mm256_min_ps(_mm256_permute2f128_ps(low, negated, 0x20),
                           _mm256_permute2f128_ps(low, negated, 0x31));
  t = _mm256_min_ps(t, _mm256_permute_ps(t, 0x4e));
  t = _mm256_min_ps(t, _mm256_permute_ps(t, 0xb1));
  least_low = _mm256_cvtss_f32(t);
  greatest_high = -_mm_cvtss_f32(_mm256_extractf128_ps(t, 1));
}

FT_INLINE GroupRange plain_range(const float* x, int group) {
  __m256 low = _mm256_loadu_ps(x);
  __m256 high = low;
  __m256 nan = _mm256_cmp_ps(low, low, _CMP_UNORD_Q);
  for (int i = 8; i < group; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    low = _mm256_min_ps(low, v);
    high = _mm256_max_ps(high, v);
    nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  }
  GroupRange range;
  reduce(low, high, range.low, range.high);
  range.finite = _mm256_movemask_ps(nan) == 0 && is_finite(range.low) && is_finite(range.high);
  return range;
}

struct SpikeRange {
  GroupRange others;  // `finite` speaks for the whole group
  int low = 0;
  int high = 0;
};

FT_INLINE unsigned lanes_equal(__m256 x, float value) {
  return static_cast<unsigned>(
      _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_set1_ps(value), _CMP_EQ_OQ)));
}

FT_INLINE void find_positions(const float* x, int group, float low, float high, SpikeRange& s) {
  s.low = -1;
  for (int i = 0; i < group; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    const unsigned at_low = lanes_equal(v, low);
    const unsigned at_high = lanes_equal(v, high);
    if (s.low < 0 && at_low != 0) {
      s.low = i + __builtin_ctz(at_low);
    }
    if (at_high != 0) {
      s.high = i + 31 - __builtin_clz(at_high);
    }
  }
}

// The first lane set in `mask` takes its value from `b`, the others theirs from `a`.
FT_INLINE __m256 replace_first(__m256 a, unsigned mask, __m256 b) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i chosen = _mm256_cmpeq_epi32(lane, _mm256_set1_epi32(__builtin_ctz(mask)));
  return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(chosen));
}

FT_INLINE SpikeRange spike_range(const float* x, int group) {
  const __m256 first = _mm256_loadu_ps(x);
  const __m256 second = _mm256_loadu_ps(x + 8);
  __m256 nan = _mm256_cmp_ps(first, second, _CMP_UNORD_Q);
  __m256 low = _mm256_min_ps(first, second);
  __m256 high = _mm256_max_ps(first, second);
  __m256 low2 = high;
  __m256 high2 = low;
  for (int i = 16; i < group; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    low2 = _mm256_min_ps(low2, _mm256_max_ps(low, v));
    high2 = _mm256_max_ps(high2, _mm256_min_ps(high, v));
    low = _mm256_min_ps(low, v);
    high = _mm256_max_ps(high, v);
    nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  }
  float least_low = 0;
  float greatest_high = 0;
  reduce(low, high, least_low, greatest_high);
  SpikeRange s;
  s.others.finite =
      _mm256_movemask_ps(nan) == 0 && is_finite(least_low) && is_finite(greatest_high);
  s.high = group - 1;
  if (!s.others.finite) {
    return s;
  }
  reduce(replace_first(low, lanes_equal(low, least_low), low2),
         replace_first(high, lanes_equal(high, greatest_high), high2), s.others.low, s.others.high);
  find_positions(x, group, least_low, greatest_high, s);
  return s;
}

// ---- codes --------------------------------------------------------------------------------------

struct RuleVectors {
  __m256 subtract, inverse, code_min, code_max;
  __m256i bias;
};

FT_INLINE __m256i code_of(__m256 x, const RuleVectors& r) {
  __m256 q = _mm256_mul_ps(_mm256_sub_ps(x, r.subtract), r.inverse);
  q = _mm256_max_ps(_mm256_min_ps(q, r.code_max), r.code_min);
  return _mm256_cvtps_epi32(q);
}

// Four registers of eight codes to 32 bytes in order.
FT_INLINE __m256i narrow(__m256i a, __m256i b, __m256i c, __m256i d, __m256i bias) {
  const __m256i ab = _mm256_add_epi16(_mm256_packs_epi32(a, b), bias);
  const __m256i cd = _mm256_add_epi16(_mm256_packs_epi32(c, d), bias);
  return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd),
                                     _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

FT_INLINE void quantise_group(const float* x, int group, const GroupRule& rule,
                              std::uint8_t* codes) {
  const RuleVectors r{_mm256_set1_ps(rule.subtract), _mm256_set1_ps(rule.inverse),
                      _mm256_set1_ps(rule.code_min), _mm256_set1_ps(rule.code_max),
                      _mm256_set1_epi16(static_cast<short>(rule.bias))};
  for (int i = 0; i < group; i += 32) {
    store256(codes + i,
             narrow(code_of(_mm256_loadu_ps(x + i), r), code_of(_mm256_loadu_ps(x + i + 8), r),
                    code_of(_mm256_loadu_ps(x + i + 16), r),
                    code_of(_mm256_loadu_ps(x + i + 24), r), r.bias));
  }
}

FT_INLINE void encode_fp8_group(const float* x, int group, const GroupRule& rule,
                                std::uint8_t* codes) {
  const __m256 inverse = _mm256_set1_ps(rule.inverse);
  for (int i = 0; i < group; i += 8) {
    const __m256i code = fp32_to_fp8(_mm256_mul_ps(_mm256_loadu_ps(x + i), inverse));
    store64(codes + i, rule.poisoned ? _mm_setzero_si128() : narrow_to_8(code));
  }
}

FT_INLINE void write_spikes(const float* x, const SpikeRange& s, bool poisoned,
                            std::uint8_t* values, std::uint8_t* positions) {
  const std::uint16_t pair[2] = {poisoned ? kBf16Nan : saturated_bf16(x[s.low]),
                                 poisoned ? kBf16Nan : saturated_bf16(x[s.high])};
  __builtin_memcpy(values, pair, sizeof(pair));
  positions[0] = static_cast<std::uint8_t>(s.low);
  positions[1] = static_cast<std::uint8_t>(s.high);
}

void quantise_fp32(const WireFormat& format, const BlockLayout& layout, const float* values,
                   std::uint8_t* codes, std::uint8_t* block) {
  const std::size_t scale_size = scale_bytes(format);
  const int group = format.group;
  for (std::size_t g = 0; g < layout.groups; ++g) {
    const float* x = values + g * static_cast<unsigned>(group);
    std::uint8_t* c = codes + g * static_cast<unsigned>(group);
    SpikeRange s;
    if (format.spike) {
      s = spike_range(x, group);
    } else {
      s.others = plain_range(x, group);
    }
    const GroupRule rule = group_rule(format.scale, format.bits, s.others);
    __builtin_memcpy(block + layout.scales + g * scale_size, &rule.metadata, scale_size);
    if (format.spike) {
      write_spikes(x, s, rule.poisoned, block + layout.spikes + 4 * g,
                   block + layout.positions + 2 * g);
    }
    if (format.kind == WireFormat::Kind::fp8) {
      encode_fp8_group(x, group, rule, c);
    } else {
      quantise_group(x, group, rule, c);
    }
    if (format.spike) {
      c[s.low] = c[s.high] = 0;
    }
  }
}

void quantise_tile(const WireFormat& format, const BlockLayout& layout, ConstValues values,
                   std::uint8_t* codes, std::uint8_t* block) {
  if (values.type == ValueType::fp32) {
    quantise_fp32(format, layout, static_cast<const float*>(values.data), codes, block);
    return;
  }
  alignas(32) float wide[kBlockValues];
  load(values.type, values.data, layout.values, wide);
  quantise_fp32(format, layout, wide, codes, block);
}

void quantise(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
              ConstValues values) {
  for (std::size_t tile = 0; tile < run.tiles; ++tile) {
    quantise_tile(format, layout, values_of(values, layout, tile), run.codes(tile),
                  run.block(tile));
  }
}

// ---- back to values -----------------------------------------------------------------------------

template <bool Accumulate, bool Fp8>
void dequantise_groups(const WireFormat& format, const BlockLayout& layout,
                       const std::uint8_t* codes, const std::uint8_t* block, float* out) {
  const std::size_t scale_size = scale_bytes(format);
  const auto group = static_cast<std::size_t>(format.group);
  for (std::size_t g = 0; g < layout.groups; ++g) {
    std::uint32_t metadata = 0;
    __builtin_memcpy(&metadata, block + layout.scales + g * scale_size, scale_size);
    const GroupScale s = group_scale(format.scale, format.bits, metadata);
    const __m256 scale = _mm256_set1_ps(s.scale);
    const __m256 offset = _mm256_set1_ps(s.offset);
    float* to = out + g * group;
    float spikes[2] = {};
    std::size_t positions[2] = {};
    if (format.spike) {
      std::uint16_t pair[2];
      __builtin_memcpy(pair, block + layout.spikes + 4 * g, sizeof(pair));
      for (std::size_t i = 0; i < 2; ++i) {
        // A broken message must not lead out of the group.
        positions[i] = block[layout.positions + 2 * g + i] & (group - 1);
        const float value = to_float(Bf16{pair[i]});
        spikes[i] = Accumulate ? to[positions[i]] + value : value;
      }
    }
    for (std::size_t i = 0; i < group; i += 8) {
      const __m128i c = load64(codes + g * group + i);
      __m256 x = Fp8 ? _mm256_mul_ps(fp8_to_fp32(c), scale)
                     : _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(c)), scale, offset);
      if (Accumulate) {
        x = _mm256_add_ps(_mm256_loadu_ps(to + i), x);
      }
      _mm256_storeu_ps(to + i, x);
    }
    if (format.spike) {
      to[positions[0]] = spikes[0];
      to[positions[1]] = spikes[1];
    }
  }
}

void dequantise_fp32(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                     const std::uint8_t* block, float* out, bool accumulate) {
  if (format.kind == WireFormat::Kind::fp8) {
    accumulate ? dequantise_groups<true, true>(format, layout, codes, block, out)
               : dequantise_groups<false, true>(format, layout, codes, block, out);
  } else {
    accumulate ? dequantise_groups<true, false>(format, layout, codes, block, out)
               : dequantise_groups<false, false>(format, layout, codes, block, out);
  }
}

void dequantise(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                const std::uint8_t* block, MutableValues out, bool accumulate) {
  if (out.type == ValueType::fp32) {
    dequantise_fp32(format, layout, codes, block, static_cast<float*>(out.data), accumulate);
    return;
  }
  alignas(32) float wide[kBlockValues];
  dequantise_fp32(format, layout, codes, block, wide, false);
  store(out.type, wide, layout.values, out.data);
}

// ---- bit planes, 32 codes at a time
// --------------------------------------------------------------

// 16 words of at most 8 bits to 16 bytes in order.
FT_INLINE __m128i words_to_bytes(__m256i words) {
  const __m256i packed = _mm256_packus_epi16(words, words);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

FT_INLINE __m128i pack_four(__m256i codes) {
  const __m256i low = _mm256_and_si256(codes, _mm256_set1_epi8(0x0f));
  return words_to_bytes(_mm256_maddubs_epi16(low, _mm256_set1_epi16(0x1001)));
}

template <int Shift>
FT_INLINE __m128i pack_two(__m256i codes) {  // eight bytes
  const __m256i part = _mm256_and_si256(_mm256_srli_epi16(codes, Shift), _mm256_set1_epi8(3));
  const __m256i nibbles = _mm256_maddubs_epi16(part, _mm256_set1_epi16(0x0401));
  return narrow_to_8(_mm256_madd_epi16(nibbles, _mm256_set1_epi32(0x00100001)));
}

template <int Shift>
FT_INLINE std::uint32_t pack_one(__m256i codes) {
  // Only the top bit of each byte is read, so bits that cross a byte boundary do no harm.
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_slli_epi16(codes, 7 - Shift)));
}

template <int Bits>
void pack(const std::uint8_t* codes, std::size_t n, std::uint8_t* out) {
  constexpr PlaneSplit kSplit = plane_split(Bits);
  std::uint8_t* four = out;
  std::uint8_t* two = four + (kSplit.four ? n / 2 : 0);
  std::uint8_t* one = two + (kSplit.two ? n / 4 : 0);
  for (std::size_t i = 0; i < n; i += 32) {
    const __m256i c = load256(codes + i);
    if constexpr (kSplit.four) {
      store128(four + i / 2, pack_four(c));
    }
    if constexpr (kSplit.two) {
      store64(two + i / 4, pack_two<kSplit.two_shift>(c));
    }
    if constexpr (kSplit.one) {
      const std::uint32_t bits = pack_one<kSplit.one_shift>(c);
      __builtin_memcpy(one + i / 8, &bits, 4);
    }
  }
}

FT_INLINE __m256i unpack_four(__m128i plane) {
  const __m256i wide = _mm256_cvtepu8_epi16(plane);
  return _mm256_and_si256(_mm256_or_si256(wide, _mm256_slli_epi16(wide, 4)),
                          _mm256_set1_epi8(0x0f));
}

FT_INLINE __m256i unpack_two(__m128i plane) {  // eight bytes
  const __m256i wide = _mm256_cvtepu8_epi32(plane);
  const __m256i nibbles = _mm256_and_si256(_mm256_or_si256(wide, _mm256_slli_epi32(wide, 12)),
                                           _mm256_set1_epi32(0x000f000f));
  return _mm256_and_si256(_mm256_or_si256(nibbles, _mm256_slli_epi32(nibbles, 6)),
                          _mm256_set1_epi8(3));
}

template <int Shift>
FT_INLINE __m256i unpack_one(std::uint32_t bits) {
  const __m256i spread =
      _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)),
                          _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                           2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
  const __m256i own = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
  const __m256i present = _mm256_cmpeq_epi8(_mm256_and_si256(spread, own), own);
  return _mm256_and_si256(present, _mm256_set1_epi8(static_cast<char>(1 << Shift)));
}

template <int Bits>
void unpack(const std::uint8_t* in, std::size_t n, std::uint8_t* codes) {
  constexpr PlaneSplit kSplit = plane_split(Bits);
  const std::uint8_t* four = in;
  const std::uint8_t* two = four + (kSplit.four ? n / 2 : 0);
  const std::uint8_t* one = two + (kSplit.two ? n / 4 : 0);
  for (std::size_t i = 0; i < n; i += 32) {
    __m256i c = _mm256_setzero_si256();
    if constexpr (kSplit.four) {
      c = unpack_four(load128(four + i / 2));
    }
    if constexpr (kSplit.two) {
      c = _mm256_or_si256(c, _mm256_slli_epi16(unpack_two(load64(two + i / 4)), kSplit.two_shift));
    }
    if constexpr (kSplit.one) {
      std::uint32_t bits = 0;
      __builtin_memcpy(&bits, one + i / 8, 4);
      c = _mm256_or_si256(c, unpack_one<kSplit.one_shift>(bits));
    }
    store256(codes + i, c);
  }
}

#include "kernels/codec/tile_table.inc"

}  // namespace

const TileKernels& avx2_tile_kernels() {
  static constexpr TileKernels kKernels = tile_table("avx2", dequantise);
  return kKernels;
}

}  // namespace foretoken::kernels
