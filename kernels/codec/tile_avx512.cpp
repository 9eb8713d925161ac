// AVX-512 (F, BW, VL, DQ, VBMI). A group of 32, 64 or 128 values stays in 2, 4 or 8 registers from
// the search for its range to its codes. Everything here has internal linkage or is forced inline:
// see kernels/base/force_inline.h.
#include <immintrin.h>

#include <cstring>

#include "kernels/base/float_types.h"
#include "kernels/codec/group_rule.h"
#include "kernels/codec/tile_kernels.h"

namespace foretoken::kernels {
namespace {

// ---- element types ------------------------------------------------------------------------------

FT_INLINE __m512 bf16_to_fp32(__m256i h) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

// Round to nearest even by an integer addition; a NaN gets its quiet bit instead.
FT_INLINE __m256i fp32_to_bf16(__m512 x) {
  const __m512i u = _mm512_castps_si512(x);
  const __m512i high = _mm512_srli_epi32(u, 16);
  const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  const __m512i biased = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32(biased, 16), nan, quiet));
}

FT_INLINE __m256i fp32_to_fp16(__m512 x) {
  return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// See to_fp8_e4m3; one code per 32-bit lane.
FT_INLINE __m512i fp32_to_fp8(__m512 x) {
  const __m512i u = _mm512_castps_si512(x);
  const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(u, 24), _mm512_set1_epi32(0x80));
  const __m512i magnitude = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff));
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(magnitude, 20), _mm512_set1_epi32(1));
  const __m512i biased =
      _mm512_add_epi32(_mm512_add_epi32(magnitude, _mm512_set1_epi32(0x7ffff - 0x3c000000)), odd);
  const __m512 shifted = _mm512_add_ps(_mm512_castsi512_ps(magnitude), _mm512_set1_ps(0x1p14F));
  const __m512i small =
      _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(0x46800000));
  const __mmask16 is_small = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x3c800000));
  const __mmask16 large = _mm512_cmpge_epi32_mask(magnitude, _mm512_set1_epi32(0x43e00000));
  const __mmask16 special = _mm512_cmpge_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
  __m512i code = _mm512_mask_mov_epi32(_mm512_srli_epi32(biased, 20), is_small, small);
  code = _mm512_mask_mov_epi32(code, large, _mm512_set1_epi32(0x7e));
  code = _mm512_mask_mov_epi32(code, special, _mm512_set1_epi32(0x7f));
  return _mm512_or_si512(code, sign);
}

// An e4m3 pattern shifted into fp16 is the value / 256, denormals included; 0x7f is the only NaN.
FT_INLINE __m512 fp8_to_fp32(__m128i codes) {
  const __m256i c = _mm256_cvtepu8_epi16(codes);
  const __m256i magnitude = _mm256_and_si256(c, _mm256_set1_epi16(0x7f));
  const __m256i sign = _mm256_slli_epi16(_mm256_xor_si256(c, magnitude), 8);
  const __mmask16 nan = _mm256_cmpeq_epi16_mask(magnitude, _mm256_set1_epi16(0x7f));
  const __m256i half = _mm256_or_si256(_mm256_slli_epi16(magnitude, 7), sign);
  const __m512 value = _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0F));
  return _mm512_mask_mov_ps(value, nan,
                            _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(kQuietNan))));
}

FT_INLINE __mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffffU : (1U << count) - 1U);
}

void load(ValueType type, const void* in, std::size_t n, float* out) {
  const auto* half = static_cast<const std::uint8_t*>(in);
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 k = first_lanes(n - i);
    const __m256i h = _mm256_maskz_loadu_epi16(k, half + 2 * i);
    _mm512_mask_storeu_ps(out + i, k,
                          type == ValueType::bf16 ? bf16_to_fp32(h) : _mm512_cvtph_ps(h));
  }
}

void store(ValueType type, const float* in, std::size_t n, void* out) {
  auto* half = static_cast<std::uint8_t*>(out);
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 k = first_lanes(n - i);
    const __m512 x = _mm512_maskz_loadu_ps(k, in + i);
    _mm256_mask_storeu_epi16(half + 2 * i, k,
                             type == ValueType::bf16 ? fp32_to_bf16(x) : fp32_to_fp16(x));
  }
}

void add(const float* in, std::size_t n, float* sum) {
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 k = first_lanes(n - i);
    _mm512_mask_storeu_ps(
        sum + i, k,
        _mm512_add_ps(_mm512_maskz_loadu_ps(k, sum + i), _mm512_maskz_loadu_ps(k, in + i)));
  }
}

void encode_fp8(const float* in, std::size_t n, std::uint8_t* out) {
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 k = first_lanes(n - i);
    _mm512_mask_cvtepi32_storeu_epi8(out + i, k, fp32_to_fp8(_mm512_maskz_loadu_ps(k, in + i)));
  }
}

void decode_fp8(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 k = first_lanes(n - i);
    _mm512_mask_storeu_ps(out + i, k, fp8_to_fp32(_mm_maskz_loadu_epi8(k, in + i)));
  }
}

// ---- the range of a group -----------------------------------------------------------------------

// Minimum of `low` and maximum of `high` over their lanes. The maximum is found as a minimum of
// negated values, so that both share the shuffles.
FT_INLINE void reduce(__m512 low, __m512 high, float& least_low, float& greatest_high) {
  const __m512 negated = _mm512_xor_ps(high, _mm512_set1_ps(-0.0F));
  __m512 t = _mm512_min_ps(_mm512_shuffle_f32x4(low, negated, 0x44),
                           _mm512_shuffle_f32x4(low, negated, 0xee));
  t = _mm512_min_ps(t, _mm512_shuffle_f32x4(t, t, 0xb1));
  t = _mm512_min_ps(t, _mm512_permute_ps(t, 0x4e));
  t = _mm512_min_ps(t, _mm512_permute_ps(t, 0xb1));
  least_low = _mm512_cvtss_f32(t);
  greatest_high = -_mm_cvtss_f32(_mm512_extractf32x4_ps(t, 2));
}

template <int V>
FT_INLINE bool any_nan(const __m512 (&x)[V]) {
  unsigned mask = 0;
  for (int v = 0; v < V; v += 2) {
    mask |= _mm512_cmp_ps_mask(x[v], x[v + 1], _CMP_UNORD_Q);
  }
  return mask != 0;
}

template <int V>
FT_INLINE GroupRange plain_range(const __m512 (&x)[V]) {
  __m512 low = _mm512_min_ps(x[0], x[1]);
  __m512 high = _mm512_max_ps(x[0], x[1]);
  for (int v = 2; v < V; v += 2) {
    low = _mm512_min_ps(low, _mm512_min_ps(x[v], x[v + 1]));
    high = _mm512_max_ps(high, _mm512_max_ps(x[v], x[v + 1]));
  }
  GroupRange range;
  reduce(low, high, range.low, range.high);
  range.finite = !any_nan(x) && is_finite(range.low) && is_finite(range.high);
  return range;
}

// First index with x == low, last index with x == high.
template <int V>
FT_INLINE void find_positions(const __m512 (&x)[V], float low, float high, int& first, int& last) {
  std::uint64_t low_mask[2] = {0, 0};
  std::uint64_t high_mask[2] = {0, 0};
  const __m512 low_all = _mm512_set1_ps(low);
  const __m512 high_all = _mm512_set1_ps(high);
  for (int v = 0; v < V; ++v) {
    const auto l = static_cast<std::uint64_t>(_mm512_cmp_ps_mask(x[v], low_all, _CMP_EQ_OQ));
    const auto h = static_cast<std::uint64_t>(_mm512_cmp_ps_mask(x[v], high_all, _CMP_EQ_OQ));
    low_mask[v / 4] |= l << (16 * (v % 4));
    high_mask[v / 4] |= h << (16 * (v % 4));
  }
  first = low_mask[0] != 0 ? __builtin_ctzll(low_mask[0]) : 64 + __builtin_ctzll(low_mask[1]);
  last =
      high_mask[1] != 0 ? 127 - __builtin_clzll(high_mask[1]) : 63 - __builtin_clzll(high_mask[0]);
}

struct SpikeRange {
  GroupRange others;  // `finite` speaks for the whole group
  int low = 0;
  int high = 0;
};

// Every lane keeps its two smallest and two largest values. Without one minimum and one maximum the
// range is that of the second smallest and the second largest, counted with multiplicity.
template <int V>
FT_INLINE SpikeRange spike_range(const __m512 (&x)[V]) {
  __m512 low = _mm512_min_ps(x[0], x[1]);
  __m512 high = _mm512_max_ps(x[0], x[1]);
  __m512 low2 = high;
  __m512 high2 = low;
  for (int v = 2; v < V; ++v) {
    low2 = _mm512_min_ps(low2, _mm512_max_ps(low, x[v]));
    high2 = _mm512_max_ps(high2, _mm512_min_ps(high, x[v]));
    low = _mm512_min_ps(low, x[v]);
    high = _mm512_max_ps(high, x[v]);
  }
  float least_low = 0;
  float greatest_high = 0;
  reduce(low, high, least_low, greatest_high);
  SpikeRange s;
  s.others.finite = !any_nan(x) && is_finite(least_low) && is_finite(greatest_high);
  s.high = 16 * V - 1;
  if (!s.others.finite) {
    return s;
  }
  const unsigned at_low = _mm512_cmp_ps_mask(low, _mm512_set1_ps(least_low), _CMP_EQ_OQ);
  const unsigned at_high = _mm512_cmp_ps_mask(high, _mm512_set1_ps(greatest_high), _CMP_EQ_OQ);
  const auto one_low = static_cast<__mmask16>(at_low & (0U - at_low));
  const auto one_high = static_cast<__mmask16>(at_high & (0U - at_high));
  reduce(_mm512_mask_mov_ps(low, one_low, low2), _mm512_mask_mov_ps(high, one_high, high2),
         s.others.low, s.others.high);
  find_positions(x, least_low, greatest_high, s.low, s.high);
  return s;
}

// ---- codes --------------------------------------------------------------------------------------

// Four registers of 16 codes, one per 32-bit lane, to 64 bytes in order. The packs work within
// 128-bit lanes; the permutation puts the pieces back.
FT_INLINE __m512i narrow(__m512i a, __m512i b, __m512i c, __m512i d, __m512i bias) {
  const __m512i ab = _mm512_add_epi16(_mm512_packs_epi32(a, b), bias);
  const __m512i cd = _mm512_add_epi16(_mm512_packs_epi32(c, d), bias);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd));
}

struct RuleVectors {
  __m512 subtract, inverse, code_min, code_max;
  __m512i bias;
};

FT_INLINE RuleVectors broadcast(const GroupRule& rule) {
  return {_mm512_set1_ps(rule.subtract), _mm512_set1_ps(rule.inverse),
          _mm512_set1_ps(rule.code_min), _mm512_set1_ps(rule.code_max),
          _mm512_set1_epi16(static_cast<short>(rule.bias))};
}

FT_INLINE __m512i code_of(__m512 x, const RuleVectors& r) {
  __m512 q = _mm512_mul_ps(_mm512_sub_ps(x, r.subtract), r.inverse);
  q = _mm512_max_ps(_mm512_min_ps(q, r.code_max), r.code_min);
  return _mm512_cvtps_epi32(q);
}

template <int V>
FT_INLINE void store_codes(const __m512i (&c)[V], __m512i bias, std::uint8_t* codes) {
  if constexpr (V == 2) {
    const __m512i zero = _mm512_setzero_si512();
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes),
                        _mm512_castsi512_si256(narrow(c[0], c[1], zero, zero, bias)));
  } else {
    for (int v = 0; v < V; v += 4) {
      _mm512_storeu_si512(codes + 16 * v, narrow(c[v], c[v + 1], c[v + 2], c[v + 3], bias));
    }
  }
}

template <int V>
FT_INLINE void quantise_group(const __m512 (&x)[V], const GroupRule& rule, std::uint8_t* codes) {
  const RuleVectors r = broadcast(rule);
  __m512i c[V];
  for (int v = 0; v < V; ++v) {
    c[v] = code_of(x[v], r);
  }
  store_codes(c, r.bias, codes);
}

template <int V>
FT_INLINE void encode_fp8_group(const __m512 (&x)[V], const GroupRule& rule, std::uint8_t* codes) {
  const __m512 inverse = _mm512_set1_ps(rule.inverse);
  __m512i c[V];
  for (int v = 0; v < V; ++v) {
    c[v] = rule.poisoned ? _mm512_setzero_si512() : fp32_to_fp8(_mm512_mul_ps(x[v], inverse));
  }
  store_codes(c, _mm512_setzero_si512(), codes);
}

FT_INLINE void write_spikes(const float* x, const SpikeRange& s, bool poisoned,
                            std::uint8_t* values, std::uint8_t* positions) {
  const std::uint16_t pair[2] = {poisoned ? kBf16Nan : saturated_bf16(x[s.low]),
                                 poisoned ? kBf16Nan : saturated_bf16(x[s.high])};
  __builtin_memcpy(values, pair, sizeof(pair));
  positions[0] = static_cast<std::uint8_t>(s.low);
  positions[1] = static_cast<std::uint8_t>(s.high);
}

FT_INLINE void write_scale(std::uint8_t* to, std::uint32_t metadata, std::size_t size) {
  if (size == 4) {
    __builtin_memcpy(to, &metadata, 4);
  } else {
    __builtin_memcpy(to, &metadata, 2);
  }
}

template <int V>
void quantise_groups(const WireFormat& format, const BlockLayout& layout, const float* values,
                     std::uint8_t* codes, std::uint8_t* block) {
  const std::size_t scale_size = scale_bytes(format);
  const bool spike = format.spike;
  const bool fp8 = format.kind == WireFormat::Kind::fp8;
  for (std::size_t g = 0; g < layout.groups; ++g) {
    __m512 x[V];
    for (int v = 0; v < V; ++v) {
      x[v] = _mm512_loadu_ps(values + 16 * (g * V + static_cast<unsigned>(v)));
    }
    SpikeRange s;
    if (spike) {
      s = spike_range(x);
    } else {
      s.others = plain_range(x);
    }
    const GroupRule rule = group_rule(format.scale, format.bits, s.others);
    write_scale(block + layout.scales + g * scale_size, rule.metadata, scale_size);
    if (spike) {
      write_spikes(values + 16 * g * V, s, rule.poisoned, block + layout.spikes + 4 * g,
                   block + layout.positions + 2 * g);
    }
    if (fp8) {
      encode_fp8_group(x, rule, codes + 16 * g * V);
    } else {
      quantise_group(x, rule, codes + 16 * g * V);
    }
  }
}

void quantise(const WireFormat& format, const BlockLayout& layout, const float* values,
              std::uint8_t* codes, std::uint8_t* block) {
  switch (format.group) {
    case 32:
      return quantise_groups<2>(format, layout, values, codes, block);
    case 64:
      return quantise_groups<4>(format, layout, values, codes, block);
    default:
      return quantise_groups<8>(format, layout, values, codes, block);
  }
}

// ---- back to values -----------------------------------------------------------------------------

FT_INLINE std::uint32_t read_scale(const std::uint8_t* from, std::size_t size) {
  std::uint32_t metadata = 0;
  if (size == 4) {
    __builtin_memcpy(&metadata, from, 4);
  } else {
    __builtin_memcpy(&metadata, from, 2);
  }
  return metadata;
}

// The two spikes of a group replace what was decoded in their place; `before` is what stood there.
struct SpikePatch {
  float* low = nullptr;
  float* high = nullptr;
  float low_value = 0;
  float high_value = 0;
};

template <bool Accumulate>
FT_INLINE SpikePatch read_spikes(const std::uint8_t* values, const std::uint8_t* positions,
                                 float* out) {
  std::uint16_t pair[2];
  __builtin_memcpy(pair, values, sizeof(pair));
  SpikePatch p{out + positions[0], out + positions[1], to_float(Bf16{pair[0]}),
               to_float(Bf16{pair[1]})};
  if (Accumulate) {
    p.low_value = *p.low + p.low_value;
    p.high_value = *p.high + p.high_value;
  }
  return p;
}

template <bool Accumulate, bool Fp8>
void dequantise_groups(const WireFormat& format, const BlockLayout& layout,
                       const std::uint8_t* codes, const std::uint8_t* block, float* out) {
  const std::size_t scale_size = scale_bytes(format);
  const auto group = static_cast<std::size_t>(format.group);
  for (std::size_t g = 0; g < layout.groups; ++g) {
    const GroupScale s = group_scale(
        format.scale, format.bits, read_scale(block + layout.scales + g * scale_size, scale_size));
    const __m512 scale = _mm512_set1_ps(s.scale);
    const __m512 offset = _mm512_set1_ps(s.offset);
    float* to = out + g * group;
    SpikePatch patch;
    if (format.spike) {
      patch = read_spikes<Accumulate>(block + layout.spikes + 4 * g,
                                      block + layout.positions + 2 * g, to);
    }
    for (std::size_t i = 0; i < group; i += 16) {
      const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + g * group + i));
      __m512 x = Fp8 ? _mm512_mul_ps(fp8_to_fp32(c), scale)
                     : _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(c)), scale, offset);
      if (Accumulate) {
        x = _mm512_add_ps(_mm512_loadu_ps(to + i), x);
      }
      _mm512_storeu_ps(to + i, x);
    }
    if (format.spike) {
      *patch.low = patch.low_value;
      *patch.high = patch.high_value;
    }
  }
}

void dequantise(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                const std::uint8_t* block, float* out, bool accumulate) {
  if (format.kind == WireFormat::Kind::fp8) {
    accumulate ? dequantise_groups<true, true>(format, layout, codes, block, out)
               : dequantise_groups<false, true>(format, layout, codes, block, out);
  } else {
    accumulate ? dequantise_groups<true, false>(format, layout, codes, block, out)
               : dequantise_groups<false, false>(format, layout, codes, block, out);
  }
}

// ---- bit planes, 64 codes at a time
// --------------------------------------------------------------

FT_INLINE __m256i pack_four(__m512i codes) {
  const __m512i low = _mm512_and_si512(codes, _mm512_set1_epi8(0x0f));
  return _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(low, _mm512_set1_epi16(0x1001)));
}

template <int Shift>
FT_INLINE __m128i pack_two(__m512i codes) {
  const __m512i part = _mm512_and_si512(_mm512_srli_epi16(codes, Shift), _mm512_set1_epi8(3));
  const __m512i nibbles = _mm512_maddubs_epi16(part, _mm512_set1_epi16(0x0401));
  return _mm512_cvtepi32_epi8(_mm512_madd_epi16(nibbles, _mm512_set1_epi32(0x00100001)));
}

template <int Bits>
void pack(const std::uint8_t* codes, std::size_t n, std::uint8_t* out) {
  constexpr PlaneSplit kSplit = plane_split(Bits);
  std::uint8_t* four = out;
  std::uint8_t* two = four + (kSplit.four ? n / 2 : 0);
  std::uint8_t* one = two + (kSplit.two ? n / 4 : 0);
  for (std::size_t i = 0; i < n; i += 64) {
    const bool whole = n - i >= 64;  // else 32 codes are left
    const __m512i c =
        whole ? _mm512_loadu_si512(codes + i) : _mm512_maskz_loadu_epi8(0xffffffffU, codes + i);
    if constexpr (kSplit.four) {
      _mm256_mask_storeu_epi8(four + i / 2, whole ? 0xffffffffU : 0xffffU, pack_four(c));
    }
    if constexpr (kSplit.two) {
      _mm_mask_storeu_epi8(two + i / 4, whole ? 0xffffU : 0xffU, pack_two<kSplit.two_shift>(c));
    }
    if constexpr (kSplit.one) {
      const std::uint64_t bits =
          _mm512_test_epi8_mask(c, _mm512_set1_epi8(static_cast<char>(1 << kSplit.one_shift)));
      __builtin_memcpy(one + i / 8, &bits, whole ? 8 : 4);
    }
  }
}

FT_INLINE __m512i unpack_four(__m256i plane) {
  const __m512i wide = _mm512_cvtepu8_epi16(plane);
  return _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)),
                          _mm512_set1_epi8(0x0f));
}

// Every quadword gets the two bytes that hold its eight codes; VBMI's multishift then picks, for
// each byte, the eight bits that begin where its code stands.
FT_INLINE __m512i unpack_two(__m128i plane) {
  const __m512i spread = _mm512_permutexvar_epi8(
      _mm512_set_epi64(0x0f0e, 0x0d0c, 0x0b0a, 0x0908, 0x0706, 0x0504, 0x0302, 0x0100),
      _mm512_castsi128_si512(plane));
  const __m512i starts = _mm512_set1_epi64(0x0e0c0a0806040200);
  return _mm512_and_si512(_mm512_multishift_epi64_epi8(starts, spread), _mm512_set1_epi8(3));
}

template <int Bits>
void unpack(const std::uint8_t* in, std::size_t n, std::uint8_t* codes) {
  constexpr PlaneSplit kSplit = plane_split(Bits);
  const std::uint8_t* four = in;
  const std::uint8_t* two = four + (kSplit.four ? n / 2 : 0);
  const std::uint8_t* one = two + (kSplit.two ? n / 4 : 0);
  for (std::size_t i = 0; i < n; i += 64) {
    const bool whole = n - i >= 64;
    __m512i c = _mm512_setzero_si512();
    if constexpr (kSplit.four) {
      c = unpack_four(_mm256_maskz_loadu_epi8(whole ? 0xffffffffU : 0xffffU, four + i / 2));
    }
    if constexpr (kSplit.two) {
      const __m512i part = unpack_two(_mm_maskz_loadu_epi8(whole ? 0xffffU : 0xffU, two + i / 4));
      c = _mm512_or_si512(c, _mm512_slli_epi16(part, kSplit.two_shift));
    }
    if constexpr (kSplit.one) {
      std::uint64_t bits = 0;
      __builtin_memcpy(&bits, one + i / 8, whole ? 8 : 4);
      c = _mm512_mask_add_epi8(c, bits, c,
                               _mm512_set1_epi8(static_cast<char>(1 << kSplit.one_shift)));
    }
    _mm512_mask_storeu_epi8(codes + i, whole ? ~std::uint64_t{0} : 0xffffffffU, c);
  }
}

void pack_planes(int bits, const std::uint8_t* codes, std::size_t n, std::uint8_t* out) {
  switch (bits) {
    case 2:
      return pack<2>(codes, n, out);
    case 3:
      return pack<3>(codes, n, out);
    case 4:
      return pack<4>(codes, n, out);
    case 5:
      return pack<5>(codes, n, out);
    case 6:
      return pack<6>(codes, n, out);
    default:
      return pack<7>(codes, n, out);
  }
}

void unpack_planes(int bits, const std::uint8_t* in, std::size_t n, std::uint8_t* codes) {
  switch (bits) {
    case 2:
      return unpack<2>(in, n, codes);
    case 3:
      return unpack<3>(in, n, codes);
    case 4:
      return unpack<4>(in, n, codes);
    case 5:
      return unpack<5>(in, n, codes);
    case 6:
      return unpack<6>(in, n, codes);
    default:
      return unpack<7>(in, n, codes);
  }
}

}  // namespace

const TileKernels& avx512_tile_kernels() {
  static constexpr TileKernels kKernels{
      "avx512",   load,     store,      add,         encode_fp8,
      decode_fp8, quantise, dequantise, pack_planes, unpack_planes,
  };
  return kKernels;
}

}  // namespace foretoken::kernels
