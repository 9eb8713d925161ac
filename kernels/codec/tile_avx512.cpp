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

void sum(const std::uint8_t* const* inputs, std::size_t count, std::size_t n, std::uint8_t* out) {
  if (n <= 4) {  // a wide load would wait until the narrow stores before it are in the cache
    for (std::size_t i = 0; i < n; ++i) {
      sum_one(inputs, count, i, out);
    }
    return;
  }
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512 total = _mm512_loadu_ps(inputs[0] + 4 * i);
    for (std::size_t k = 1; k < count; ++k) {
      total = _mm512_add_ps(total, _mm512_loadu_ps(inputs[k] + 4 * i));
    }
    _mm512_storeu_ps(out + 4 * i, total);
  }
  if (i < n) {
    const __mmask16 last = first_lanes(n - i);
    __m512 total = _mm512_maskz_loadu_ps(last, inputs[0] + 4 * i);
    for (std::size_t k = 1; k < count; ++k) {
      total = _mm512_add_ps(total, _mm512_maskz_loadu_ps(last, inputs[k] + 4 * i));
    }
    _mm512_mask_storeu_ps(out + 4 * i, last, total);
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

// Groups [first, last) one by one: any number of them, any special value.
template <int V>
void quantise_one_by_one(const WireFormat& format, const BlockLayout& layout, const float* values,
                         std::size_t first, std::size_t last, std::uint8_t* codes,
                         std::uint8_t* block) {
  const std::size_t scale_size = scale_bytes(format);
  for (std::size_t g = first; g < last; ++g) {
    const float* from = values + 16 * V * (g - first);
    std::uint8_t* to = codes + 16 * V * g;
    __m512 x[V];
    for (int v = 0; v < V; ++v) {
      x[v] = _mm512_loadu_ps(from + 16 * v);
    }
    SpikeRange s;
    if (format.spike) {
      s = spike_range(x);
    } else {
      s.others = plain_range(x);
    }
    const GroupRule rule = group_rule(format.scale, format.bits, s.others);
    write_scale(block + layout.scales + g * scale_size, rule.metadata, scale_size);
    if (format.kind == WireFormat::Kind::fp8) {
      encode_fp8_group(x, rule, to);
    } else {
      quantise_group(x, rule, to);
    }
    if (format.spike) {
      write_spikes(from, s, rule.poisoned, block + layout.spikes + 4 * g,
                   block + layout.positions + 2 * g);
      to[s.low] = to[s.high] = 0;
    }
  }
}

// ---- eight groups at a time: the usual case
// ------------------------------------------------------
//
// 1. Per group, the extremes of every lane. 2. One tree of shuffles reduces the lanes of all eight
// groups to one register of minima and one of maxima. 3. The rule of group_rule.h for eight groups
// at once. 4. Codes. Step 3 gives up where a group is not finite or clips: then the eight groups
// are done one by one. Otherwise every code lies in range without clamping, because scales are
// rounded up and zero points down.

constexpr int kBatch = 8;

// Lane-wise extremes of the eight groups; maxima are kept negated, so that both are minima:
// lanes[g] belongs to the minimum of group g, lanes[8 + g] to its maximum.
struct alignas(64) BatchExtremes {
  __m512 first[2 * kBatch];
  __m512 second[2 * kBatch];  // with spikes: the runner-up of every lane
  bool nan = false;
};

FT_INLINE __m512 negate(__m512 x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0F)); }

template <int V, bool Spike>
FT_INLINE void find_extremes(const float* values, BatchExtremes& e) {
  unsigned nan = 0;
  for (int g = 0; g < kBatch; ++g) {
    __m512 x[V];
    for (int v = 0; v < V; ++v) {
      x[v] = _mm512_loadu_ps(values + 16 * (g * V + v));
    }
    __m512 low = _mm512_min_ps(x[0], x[1]);
    __m512 high = _mm512_max_ps(x[0], x[1]);
    __m512 low2 = high;
    __m512 high2 = low;
    for (int v = 2; v < V; ++v) {
      if constexpr (Spike) {
        low2 = _mm512_min_ps(low2, _mm512_max_ps(low, x[v]));
        high2 = _mm512_max_ps(high2, _mm512_min_ps(high, x[v]));
      }
      low = _mm512_min_ps(low, x[v]);
      high = _mm512_max_ps(high, x[v]);
    }
    for (int v = 0; v < V; v += 2) {
      nan |= _mm512_cmp_ps_mask(x[v], x[v + 1], _CMP_UNORD_Q);
    }
    e.first[g] = low;
    e.first[kBatch + g] = negate(high);
    if constexpr (Spike) {
      e.second[g] = low2;
      e.second[kBatch + g] = negate(high2);
    }
  }
  e.nan = nan != 0;
}

// Where only the greatest magnitude matters, as minimum and as maximum. Without their signs
// patterns order like magnitudes, infinity and NaN above all others.
template <int V>
FT_INLINE void find_magnitudes(const float* values, BatchExtremes& e) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i greatest = _mm512_setzero_si512();
  for (int g = 0; g < kBatch; ++g) {
    __m512i of_group = _mm512_setzero_si512();
    for (int v = 0; v < V; ++v) {
      const __m512i x = _mm512_loadu_si512(values + 16 * (g * V + v));
      of_group = _mm512_max_epu32(of_group, _mm512_and_si512(x, magnitude));
    }
    greatest = _mm512_max_epu32(greatest, of_group);
    e.first[g] = e.first[kBatch + g] = negate(_mm512_castsi512_ps(of_group));
  }
  e.nan = _mm512_cmpgt_epu32_mask(greatest, _mm512_set1_epi32(0x7f800000)) != 0;
}

// bf16 patterns as 16-bit integers that order like the values: 32 lanes at a time, no conversion.
FT_INLINE __m512i sortable(__m512i bits) {
  const __m512i sign = _mm512_srai_epi16(bits, 15);
  // bits ^ (sign & 0x7fff)
  return _mm512_ternarylogic_epi32(sign, _mm512_set1_epi16(0x7fff), bits, 0x6a);
}

FT_INLINE __m512 even_values(__m512i bf16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(bf16, 16));
}

FT_INLINE __m512 odd_values(__m512i bf16) {
  return _mm512_castsi512_ps(
      _mm512_and_si512(bf16, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
}

// The runner-up of two pairs (best, second) of the same lane.
FT_INLINE __m512 second_of(__m512 a, __m512 b, __m512 a2, __m512 b2) {
  return _mm512_min_ps(_mm512_max_ps(a, b), _mm512_min_ps(a2, b2));
}

template <int V, bool Spike>
FT_INLINE void find_extremes(const std::uint8_t* bf16, BatchExtremes& e) {
  constexpr int kHalf = V / 2;  // registers of 32
  unsigned nan = 0;
  for (int g = 0; g < kBatch; ++g) {
    const std::uint8_t* from = bf16 + 64 * g * kHalf;
    __m512i low = sortable(_mm512_loadu_si512(from));
    __m512i high = low;
    __m512i low2 = _mm512_set1_epi16(0x7fff);
    __m512i high2 = _mm512_set1_epi16(-0x8000);
    for (int v = 1; v < kHalf; ++v) {
      const __m512i x = sortable(_mm512_loadu_si512(from + 64 * v));
      if constexpr (Spike) {
        low2 = _mm512_min_epi16(low2, _mm512_max_epi16(low, x));
        high2 = _mm512_max_epi16(high2, _mm512_min_epi16(high, x));
      }
      low = _mm512_min_epi16(low, x);
      high = _mm512_max_epi16(high, x);
    }
    low = sortable(low);
    high = sortable(high);
    const __m512 low_even = even_values(low);
    const __m512 low_odd = odd_values(low);
    const __m512 high_even = negate(even_values(high));
    const __m512 high_odd = negate(odd_values(high));
    nan |= _mm512_cmp_ps_mask(low_even, low_odd, _CMP_UNORD_Q) |
           _mm512_cmp_ps_mask(high_even, high_odd, _CMP_UNORD_Q);
    e.first[g] = _mm512_min_ps(low_even, low_odd);
    e.first[kBatch + g] = _mm512_min_ps(high_even, high_odd);
    if constexpr (Spike) {
      if constexpr (kHalf == 1) {  // one register: no lane has a runner-up but its neighbour
        e.second[g] = _mm512_max_ps(low_even, low_odd);
        e.second[kBatch + g] = _mm512_max_ps(high_even, high_odd);
      } else {
        low2 = sortable(low2);
        high2 = sortable(high2);
        e.second[g] = second_of(low_even, low_odd, even_values(low2), odd_values(low2));
        e.second[kBatch + g] =
            second_of(high_even, high_odd, negate(even_values(high2)), negate(odd_values(high2)));
      }
    }
  }
  e.nan = nan != 0;
}

// The four ways in which the reduction tree pairs halves of two registers, from single lanes up to
// 128-bit quarters. After all four, lane i holds the result of register i.
template <int Level>
FT_INLINE __m512 left(__m512 a, __m512 b) {
  if constexpr (Level == 0) {
    return _mm512_unpacklo_ps(a, b);
  } else if constexpr (Level == 1) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  } else {
    return _mm512_shuffle_f32x4(a, b, 0x88);
  }
}

template <int Level>
FT_INLINE __m512 right(__m512 a, __m512 b) {
  if constexpr (Level == 0) {
    return _mm512_unpackhi_ps(a, b);
  } else if constexpr (Level == 1) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  } else {
    return _mm512_shuffle_f32x4(a, b, 0xdd);
  }
}

template <int Level, bool Spike>
FT_INLINE void reduce_level(BatchExtremes& e) {
  for (int i = 0; i < (kBatch >> Level); ++i) {
    const __m512 a = left<Level>(e.first[2 * i], e.first[2 * i + 1]);
    const __m512 b = right<Level>(e.first[2 * i], e.first[2 * i + 1]);
    if constexpr (Spike) {
      e.second[i] = second_of(a, b, left<Level>(e.second[2 * i], e.second[2 * i + 1]),
                              right<Level>(e.second[2 * i], e.second[2 * i + 1]));
    }
    e.first[i] = _mm512_min_ps(a, b);
  }
}

// Eight minima in the low half and eight negated maxima in the high half of first[0], second[0].
template <bool Spike>
FT_INLINE void reduce_lanes(BatchExtremes& e) {
  reduce_level<0, Spike>(e);
  reduce_level<1, Spike>(e);
  reduce_level<2, Spike>(e);
  reduce_level<3, Spike>(e);
}

// bf16 patterns need no conversion where a group has values of both signs: as unsigned numbers its
// minimum, as signed ones its maximum is the greatest, because patterns of one sign order like
// their magnitudes. Registers 0 to 7 hold the minima of 32 lanes, 8 to 15 the maxima.
template <bool Spike>
struct alignas(64) PatternExtremes {
  __m512i first[2 * kBatch];
  __m512i second[Spike ? 2 * kBatch : 1];
};

struct UnsignedOrder {
  FT_INLINE __m512i best(__m512i a, __m512i b) { return _mm512_max_epu16(a, b); }
  FT_INLINE __m512i worse(__m512i a, __m512i b) { return _mm512_min_epu16(a, b); }
};

struct SignedOrder {
  FT_INLINE __m512i best(__m512i a, __m512i b) { return _mm512_max_epi16(a, b); }
  FT_INLINE __m512i worse(__m512i a, __m512i b) { return _mm512_min_epi16(a, b); }
};

template <typename Order>
FT_INLINE __m512i second_of(__m512i a, __m512i b, __m512i a2, __m512i b2) {
  return Order::best(Order::worse(a, b), Order::best(a2, b2));
}

template <int Level>
FT_INLINE __m512i left(__m512i a, __m512i b) {
  return _mm512_castps_si512(left<Level>(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

template <int Level>
FT_INLINE __m512i right(__m512i a, __m512i b) {
  return _mm512_castps_si512(right<Level>(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

// Registers 2 `to` and 2 `to` + 1 to register `to`.
template <int Level, bool Spike, typename Order>
FT_INLINE void reduce_pair(PatternExtremes<Spike>& e, int to) {
  const __m512i a = left<Level>(e.first[2 * to], e.first[2 * to + 1]);
  const __m512i b = right<Level>(e.first[2 * to], e.first[2 * to + 1]);
  if constexpr (Spike) {
    e.second[to] = second_of<Order>(a, b, left<Level>(e.second[2 * to], e.second[2 * to + 1]),
                                    right<Level>(e.second[2 * to], e.second[2 * to + 1]));
  }
  e.first[to] = Order::best(a, b);
}

template <int Level, bool Spike>
FT_INLINE void reduce_level(PatternExtremes<Spike>& e) {
  for (int i = 0; i < (kBatch >> Level) / 2; ++i) {
    reduce_pair<Level, Spike, UnsignedOrder>(e, i);
  }
  for (int i = (kBatch >> Level) / 2; i < (kBatch >> Level); ++i) {
    reduce_pair<Level, Spike, SignedOrder>(e, i);
  }
}

// Eight minima and eight negated maxima as fp32, as reduce_lanes leaves them, in e.first[0] and
// e.second[0]; not finite where a group is not. False where one of them has the other sign: then
// they mean nothing.
template <int V, bool Spike>
FT_INLINE bool pattern_extremes(const std::uint8_t* bf16, BatchExtremes& e) {
  constexpr int kHalf = V / 2;  // registers of 32
  PatternExtremes<Spike> p;
  for (int g = 0; g < kBatch; ++g) {
    const std::uint8_t* from = bf16 + 64 * g * kHalf;
    __m512i low = _mm512_loadu_si512(from);
    __m512i high = low;
    __m512i low2 = _mm512_setzero_si512();
    __m512i high2 = _mm512_set1_epi16(-0x8000);
    for (int v = 1; v < kHalf; ++v) {
      const __m512i x = _mm512_loadu_si512(from + 64 * v);
      if constexpr (Spike) {
        low2 = _mm512_max_epu16(low2, _mm512_min_epu16(low, x));
        high2 = _mm512_max_epi16(high2, _mm512_min_epi16(high, x));
      }
      low = _mm512_max_epu16(low, x);
      high = _mm512_max_epi16(high, x);
    }
    p.first[g] = low;
    p.first[kBatch + g] = high;
    if constexpr (Spike) {
      p.second[g] = low2;
      p.second[kBatch + g] = high2;
    }
  }
  reduce_level<0>(p);
  reduce_level<1>(p);
  reduce_level<2>(p);
  const __m512i sign = _mm512_set1_epi16(-0x8000);
  const __m512i top = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
  p.first[1] = _mm512_xor_si512(p.first[1], sign);  // now the maxima too order as unsigned numbers
  if constexpr (Spike) {
    p.second[1] = _mm512_xor_si512(p.second[1], sign);
  }
  reduce_pair<3, Spike, UnsignedOrder>(p, 0);
  // Both halves of every 32 bits belong to one group.
  const __m512i other = _mm512_rol_epi32(p.first[0], 16);
  __m512i signs = UnsignedOrder::best(p.first[0], other);
  e.first[0] = _mm512_castsi512_ps(_mm512_and_si512(signs, top));
  if constexpr (Spike) {
    const __m512i second =
        second_of<UnsignedOrder>(p.first[0], other, p.second[0], _mm512_rol_epi32(p.second[0], 16));
    e.second[0] = _mm512_castsi512_ps(_mm512_and_si512(second, top));
    signs = second;  // the lesser of the two: has no sign bit where the other has none
  }
  e.nan = false;
  return _mm512_movepi32_mask(signs) == 0xffffU;
}

// The rules of eight groups.
struct alignas(64) BatchRule {
  float subtract[kBatch];
  float inverse[kBatch];
  std::int32_t bias[kBatch];
};

FT_INLINE __mmask8 not_finite(__m256 x) {
  const __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
  return _mm256_cmpge_epi32_mask(magnitude, _mm256_set1_epi32(0x7f800000));
}

FT_INLINE void store_rule(BatchRule& rule, __m256 subtract, __m256 inverse, __m256i bias) {
  _mm256_store_ps(rule.subtract, subtract);
  _mm256_store_ps(rule.inverse, inverse);
  _mm256_store_si256(reinterpret_cast<__m256i*>(rule.bias), bias);
}

FT_INLINE __m256 inverse_or_zero(__mmask8 use, __m256 scale) {
  return _mm256_maskz_div_ps(use, _mm256_set1_ps(1.0F), scale);
}

// Each rule writes the scales and returns false where group_rule.h would poison a group or clip.
FT_INLINE bool affine_batch(__m256 low, __m256 high, int bits, BatchRule& rule,
                            std::uint8_t* scales) {
  const auto levels = static_cast<float>((1 << bits) - 1);
  const __m256i u = _mm256_castps_si256(_mm256_add_ps(low, _mm256_setzero_ps()));
  const __m256i away =
      _mm256_add_epi32(u, _mm256_and_si256(_mm256_srai_epi32(u, 31), _mm256_set1_epi32(0xffff)));
  const __m256i top = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  const __m256i zero_bits = _mm256_and_si256(away, top);
  const __m256 zero = _mm256_castsi256_ps(zero_bits);
  const __m256 span = _mm256_sub_ps(high, zero);
  if ((not_finite(zero) | not_finite(span)) != 0) {
    return false;
  }
  const __m256 exact = _mm256_mul_ps(span, _mm256_set1_ps(1.0F / levels));
  const __m256i scale_bits = _mm256_and_si256(
      _mm256_add_epi32(_mm256_castps_si256(exact), _mm256_set1_epi32(0xffff)), top);
  const __mmask8 use = _mm256_cmpge_epi32_mask(scale_bits, _mm256_set1_epi32(0x00800000));
  const __m256i sent = _mm256_maskz_srli_epi32(use, scale_bits, 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(scales), _mm256_or_si256(sent, zero_bits));
  store_rule(rule, zero, inverse_or_zero(use, _mm256_castsi256_ps(scale_bits)),
             _mm256_setzero_si256());
  return true;
}

FT_INLINE bool symmetric_batch(__m256 low, __m256 high, int bits, BatchRule& rule,
                               std::uint8_t* scales) {
  const int half = 1 << (bits - 1);
  const __m256 sign = _mm256_set1_ps(-0.0F);
  const __m256 magnitude =
      _mm256_add_ps(_mm256_max_ps(high, _mm256_xor_ps(low, sign)), _mm256_setzero_ps());
  const __m256 exact =
      _mm256_mul_ps(magnitude, _mm256_set1_ps(1.0F / static_cast<float>(half - 1)));
  if (_mm256_cmp_ps_mask(exact, _mm256_set1_ps(65504.0F), _CMP_NLE_UQ) != 0) {
    return false;
  }
  const __m128i scale_bits = _mm256_cvtps_ph(exact, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  const __mmask8 use = _mm_test_epi16_mask(scale_bits, scale_bits);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(scales), scale_bits);
  store_rule(rule, _mm256_setzero_ps(), inverse_or_zero(use, _mm256_cvtph_ps(scale_bits)),
             _mm256_set1_epi32(half));
  return true;
}

FT_INLINE bool log8_batch(__m256 low, __m256 high, int bits, BatchRule& rule,
                          std::uint8_t* scales) {
  const __m256 zero = _mm256_setzero_ps();
  const auto levels = static_cast<float>((1 << bits) - 1);
  low = _mm256_min_ps(low, zero);
  const __m256 span = _mm256_sub_ps(_mm256_max_ps(high, zero), low);
  const __m256 s = _mm256_mul_ps(span, _mm256_set1_ps(1.0F / levels));
  const __mmask8 large = _mm256_cmp_ps_mask(s, _mm256_set1_ps(0x1p-16F), _CMP_NLT_UQ);
  const __m256i u = _mm256_castps_si256(s);
  const __m256i mantissa = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffff));
  __m256i e =
      _mm256_slli_epi32(_mm256_sub_epi32(_mm256_srli_epi32(u, 23), _mm256_set1_epi32(127)), 3);
  const __m256i one = _mm256_set1_epi32(1);
  for (std::uint32_t k = 0; k < 8; ++k) {
    const __m256i edge = _mm256_set1_epi32(static_cast<int>(log8_mantissa(k)));
    e = _mm256_mask_add_epi32(e, _mm256_cmpgt_epi32_mask(mantissa, edge), e, one);
  }
  const __mmask8 use = large & _mm256_cmpgt_epi32_mask(e, _mm256_set1_epi32(-128));
  if ((large & _mm256_cmpgt_epi32_mask(e, _mm256_set1_epi32(127))) != 0 || not_finite(span) != 0) {
    return false;
  }
  const __m256i table =
      _mm256_setr_epi32(static_cast<int>(log8_mantissa(0)), static_cast<int>(log8_mantissa(1)),
                        static_cast<int>(log8_mantissa(2)), static_cast<int>(log8_mantissa(3)),
                        static_cast<int>(log8_mantissa(4)), static_cast<int>(log8_mantissa(5)),
                        static_cast<int>(log8_mantissa(6)), static_cast<int>(log8_mantissa(7)));
  const __m256i exponent = _mm256_add_epi32(_mm256_srai_epi32(e, 3), _mm256_set1_epi32(127));
  const __m256i scale =
      _mm256_or_si256(_mm256_slli_epi32(exponent, 23), _mm256_permutevar8x32_epi32(table, e));
  const __m256 inverse = inverse_or_zero(use, _mm256_castsi256_ps(scale));
  const __m256 negated = _mm256_xor_ps(low, _mm256_set1_ps(-0.0F));
  const __m256 zero_code = _mm256_min_ps(_mm256_mul_ps(negated, inverse), _mm256_set1_ps(levels));
  const __m256i bias = _mm256_cvttps_epi32(_mm256_add_ps(zero_code, _mm256_set1_ps(0.5F)));
  const __m256i sent =
      _mm256_or_si256(_mm256_and_si256(e, _mm256_set1_epi32(0xff)), _mm256_slli_epi32(bias, 8));
  const __m256i metadata =
      _mm256_mask_mov_epi32(_mm256_set1_epi32(static_cast<int>(kLog8Constant)), use, sent);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(scales), _mm256_cvtepi32_epi16(metadata));
  store_rule(rule, zero, inverse, _mm256_maskz_mov_epi32(use, bias));
  return true;
}

FT_INLINE bool fp8_batch(__m256 low, __m256 high, BatchRule& rule, std::uint8_t* scales) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  const __m256 magnitude = _mm256_max_ps(high, _mm256_xor_ps(low, sign));
  const __m256 scale = _mm256_mul_ps(magnitude, _mm256_set1_ps(1.0F / 448.0F));
  const __mmask8 use = _mm256_cmp_ps_mask(scale, _mm256_set1_ps(0x1p-126F), _CMP_NLT_UQ);
  _mm256_storeu_ps(reinterpret_cast<float*>(scales), _mm256_maskz_mov_ps(use, scale));
  store_rule(rule, _mm256_setzero_ps(), inverse_or_zero(use, scale), _mm256_setzero_si256());
  return true;
}

FT_INLINE bool rule_batch(const WireFormat& format, __m512 extremes, BatchRule& rule,
                          std::uint8_t* scales) {
  const __m256 low = _mm512_castps512_ps256(extremes);
  const __m256 high = _mm256_xor_ps(_mm512_extractf32x8_ps(extremes, 1), _mm256_set1_ps(-0.0F));
  switch (format.scale) {
    case WireFormat::Scale::affine:
      return affine_batch(low, high, format.bits, rule, scales);
    case WireFormat::Scale::symmetric:
      return symmetric_batch(low, high, format.bits, rule, scales);
    case WireFormat::Scale::log8:
      return log8_batch(low, high, format.bits, rule, scales);
    case WireFormat::Scale::fp32:
      return fp8_batch(low, high, rule, scales);
    case WireFormat::Scale::none:
      break;
  }
  return false;
}

// e4m3 codes, as words, of two times 16 values that lie within +-448 (a rounding above), in the
// order that packs leaves. Adding 1.5 * 2^20 times the value's own power of two leaves a sum whose
// last bit is the third of the mantissa, so that the addition itself rounds to nearest even; below
// 2^-6 all share one power of two, 2^e, which gives the denormals. The sum's low word then counts
// up with the rounded mantissa m, 8 to 16 (0 to 16 for denormals); its high word holds the sign,
// the exponent e + 147 above seven bits, and in those 64. With what the factor has beyond 1.5 *
// 2^20 the low word is m - 1132 (an even number: ties must not turn), so that 16 * low + high is 16
// * (m + 8 e + 48), the code shifted by 4, and -32768 for the sign.
FT_INLINE __m512i fp8_in_range(__m512 a, __m512 b) {
  const __m512 least = _mm512_set1_ps(0x1p-6F);
  const __m512 factor = _mm512_set1_ps(0x1.8p20F + (65536 - 1132) / 8.0F);
  const __m512 power_of = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(0xff800000U)));
  const __m512i weights = _mm512_set1_epi32((1 << 16) + 16);
  constexpr int kGreaterMagnitude = 3;  // with the sign of the first
  const __m512 power_a = _mm512_and_ps(_mm512_range_ps(a, least, kGreaterMagnitude), power_of);
  const __m512 power_b = _mm512_and_ps(_mm512_range_ps(b, least, kGreaterMagnitude), power_of);
  const __m512i sum_a = _mm512_castps_si512(_mm512_fmadd_ps(power_a, factor, a));
  const __m512i sum_b = _mm512_castps_si512(_mm512_fmadd_ps(power_b, factor, b));
  const __m512i code =
      _mm512_packs_epi32(_mm512_madd_epi16(sum_a, weights), _mm512_madd_epi16(sum_b, weights));
  // (code >> 4 & 0x7f) | (code >> 8 & 0x80)
  return _mm512_ternarylogic_epi32(_mm512_set1_epi16(0x7f), _mm512_srli_epi16(code, 4),
                                   _mm512_srli_epi16(code, 8), 0xca);
}

enum class Coding { affine, biased, fp8 };

template <Coding C>
FT_INLINE __m512i free_code(__m512 x, __m512 subtract, __m512 inverse) {
  if constexpr (C == Coding::affine) {
    x = _mm512_sub_ps(x, subtract);
  }
  return _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
}

// The codes of two times 16 values as words.
template <Coding C>
FT_INLINE __m512i words_of(__m512 a, __m512 b, __m512 subtract, __m512 inverse) {
  if constexpr (C == Coding::fp8) {
    return fp8_in_range(_mm512_mul_ps(a, inverse), _mm512_mul_ps(b, inverse));
  } else {
    return _mm512_packs_epi32(free_code<C>(a, subtract, inverse),
                              free_code<C>(b, subtract, inverse));
  }
}

// Values i to i + 31 of a group.
template <Coding C>
FT_INLINE __m512i words_at(const float* values, int i, __m512 subtract, __m512 inverse) {
  return words_of<C>(_mm512_loadu_ps(values + i), _mm512_loadu_ps(values + i + 16), subtract,
                     inverse);
}

template <Coding C>
FT_INLINE __m512i words_at(const std::uint8_t* bf16, int i, __m512 subtract, __m512 inverse) {
  const __m512i x = _mm512_loadu_si512(bf16 + 2 * i);
  return words_of<C>(even_values(x), odd_values(x), subtract, inverse);
}

// 64 bytes of codes from two registers of 32 words each, in the order that packus leaves.
template <Coding C>
FT_INLINE __m512i finish_codes(__m512i a, __m512i b, __m512i bias, __m512i top) {
  if constexpr (C != Coding::biased) {
    return _mm512_packus_epi16(a, b);
  } else {  // a rounding tie can reach one above the top code
    return _mm512_min_epu8(
        _mm512_packus_epi16(_mm512_add_epi16(a, bias), _mm512_add_epi16(b, bias)), top);
  }
}

// Where finish_codes leaves the code of each of 64 values. A value comes from 32-bit lane `lane` of
// one of four registers: 16 fp32 values, or the even or the odd ones of 32 bf16.
template <typename Source>
struct alignas(64) ByteOrder {
  std::uint8_t at[64];
  constexpr ByteOrder() : at{} {
    for (unsigned j = 0; j < 64; ++j) {
      const bool wide = sizeof(Source) == sizeof(float);
      const unsigned lane = wide ? j % 16 : j % 32 / 2;
      const unsigned from = wide ? j / 16 : 2 * (j / 32) + j % 2;
      at[j] = static_cast<std::uint8_t>(16 * (lane / 4) + 4 * from + lane % 4);
    }
  }
};

template <int V>
FT_INLINE const float* group_at(const float* values, int g) {
  return values + 16 * V * g;
}

template <int V>
FT_INLINE const std::uint8_t* group_at(const std::uint8_t* bf16, int g) {
  return bf16 + 32 * V * g;
}

template <int V, Coding C, typename Source>
FT_INLINE void quantise_batch(const Source* values, const BatchRule& rule, __m512i top,
                              std::uint8_t* codes) {
  static constexpr ByteOrder<Source> kOrder;
  const __m512i order = _mm512_load_si512(kOrder.at);
  for (int g = 0; g < kBatch; ++g) {
    const __m512 subtract = _mm512_set1_ps(rule.subtract[g]);
    const __m512 inverse = _mm512_set1_ps(rule.inverse[g]);
    const __m512i bias = _mm512_set1_epi16(static_cast<short>(rule.bias[g]));
    const Source* from = group_at<V>(values, g);
    for (int i = 0; i < 16 * V; i += 64) {
      const __m512i a = words_at<C>(from, i, subtract, inverse);
      const __m512i b = V == 2 ? a : words_at<C>(from, i + 32, subtract, inverse);
      const __m512i bytes = _mm512_permutexvar_epi8(order, finish_codes<C>(a, b, bias, top));
      std::uint8_t* to = codes + 16 * V * g + i;
      if constexpr (V == 2) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(bytes));
      } else {
        _mm512_storeu_si512(to, bytes);
      }
    }
  }
}

// Where the spikes of one group stand; fp32 lanes of 16, bf16 lanes of 32.
template <int V>
FT_INLINE void spike_positions(const float* values, float low, float high, int& first, int& last) {
  __m512 x[V];
  for (int v = 0; v < V; ++v) {
    x[v] = _mm512_loadu_ps(values + 16 * v);
  }
  find_positions(x, low, high, first, last);
}

template <int V>
FT_INLINE void spike_positions(const std::uint8_t* bf16, float low, float high, int& first,
                               int& last) {
  std::uint64_t low_mask[2] = {0, 0};
  std::uint64_t high_mask[2] = {0, 0};
  const __m512i low_bits = _mm512_set1_epi16(static_cast<short>(float_bits(low) >> 16));
  const __m512i high_bits = _mm512_set1_epi16(static_cast<short>(float_bits(high) >> 16));
  // As patterns the two zeros differ; as values they do not.
  const __m512i ignore_low = _mm512_set1_epi16(low == 0 ? -0x8000 : 0);
  const __m512i ignore_high = _mm512_set1_epi16(high == 0 ? -0x8000 : 0);
  for (int v = 0; v < V / 2; ++v) {
    const __m512i x = _mm512_loadu_si512(bf16 + 64 * v);
    const std::uint64_t l = _mm512_testn_epi16_mask(
        _mm512_andnot_si512(ignore_low, _mm512_xor_si512(x, low_bits)), _mm512_set1_epi16(-1));
    const std::uint64_t h = _mm512_testn_epi16_mask(
        _mm512_andnot_si512(ignore_high, _mm512_xor_si512(x, high_bits)), _mm512_set1_epi16(-1));
    low_mask[v / 2] |= l << (32 * (v % 2));
    high_mask[v / 2] |= h << (32 * (v % 2));
  }
  first = low_mask[0] != 0 ? __builtin_ctzll(low_mask[0]) : 64 + __builtin_ctzll(low_mask[1]);
  last =
      high_mask[1] != 0 ? 127 - __builtin_clzll(high_mask[1]) : 63 - __builtin_clzll(high_mask[0]);
}

FT_INLINE std::uint16_t sent_spike(const float* values, int at) {
  return saturated_bf16(values[at]);
}

FT_INLINE std::uint16_t sent_spike(const std::uint8_t* bf16, int at) {
  std::uint16_t bits = 0;
  __builtin_memcpy(&bits, bf16 + 2 * at, 2);
  return bits;
}

template <int V, typename Source>
FT_INLINE void send_spikes(const Source* values, __m512 extremes, std::uint8_t* spikes,
                           std::uint8_t* positions, std::uint8_t* codes) {
  alignas(64) float bounds[2 * kBatch];
  _mm512_store_ps(bounds, extremes);
  for (int g = 0; g < kBatch; ++g) {
    const Source* group = group_at<V>(values, g);
    int low = 0;
    int high = 0;
    spike_positions<V>(group, bounds[g], -bounds[kBatch + g], low, high);
    const std::uint16_t pair[2] = {sent_spike(group, low), sent_spike(group, high)};
    __builtin_memcpy(spikes + 4 * g, pair, sizeof(pair));
    positions[2 * g] = static_cast<std::uint8_t>(low);
    positions[2 * g + 1] = static_cast<std::uint8_t>(high);
    codes[16 * V * g + low] = codes[16 * V * g + high] = 0;
  }
}

// Between the two halves of the work on eight groups: steps 1 to 3, and step 4.
struct alignas(64) PreparedBatch {
  BatchRule rule;
  __m512 extremes;    // of whole groups, for the spikes
  bool done = false;  // false: the groups must be done one by one
};

// The extremes of eight groups: e.first[0] and, with spikes, e.second[0] as reduce_lanes leaves
// them.
template <int V, bool Spike>
FT_INLINE void extremes_of(WireFormat::Scale scale, const float* values, BatchExtremes& e) {
  if (!Spike && (scale == WireFormat::Scale::fp32 || scale == WireFormat::Scale::symmetric)) {
    find_magnitudes<V>(values, e);
  } else {
    find_extremes<V, Spike>(values, e);
  }
  reduce_lanes<Spike>(e);
}

template <int V, bool Spike>
FT_INLINE void extremes_of(WireFormat::Scale, const std::uint8_t* bf16, BatchExtremes& e) {
  if (!pattern_extremes<V, Spike>(bf16, e)) [[unlikely]] {
    find_extremes<V, Spike>(bf16, e);
    reduce_lanes<Spike>(e);
  }
}

template <int V, bool Spike, typename Source>
FT_INLINE void prepare_eight(const WireFormat& format, const Source* values, std::uint8_t* scales,
                             PreparedBatch& batch) {
  BatchExtremes e;
  extremes_of<V, Spike>(format.scale, values, e);
  const __m512 outer = e.first[0];
  const __m512 span = _mm512_and_ps(outer, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff)));
  const __m512 infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000));
  batch.extremes = outer;
  batch.done = !e.nan && _mm512_cmp_ps_mask(span, infinity, _CMP_NLT_UQ) == 0 &&
               rule_batch(format, Spike ? e.second[0] : outer, batch.rule, scales);
}

template <int V, bool Spike, typename Source>
FT_INLINE void finish_eight(const WireFormat& format, const BlockLayout& layout,
                            const Source* values, std::size_t first, const PreparedBatch& batch,
                            std::uint8_t* codes, std::uint8_t* block) {
  const __m512i top = _mm512_set1_epi8(static_cast<char>((1 << format.bits) - 1));
  std::uint8_t* to = codes + 16 * V * first;
  if (format.scale == WireFormat::Scale::affine) {
    quantise_batch<V, Coding::affine>(values, batch.rule, top, to);
  } else if (format.scale == WireFormat::Scale::fp32) {
    quantise_batch<V, Coding::fp8>(values, batch.rule, top, to);
  } else {
    quantise_batch<V, Coding::biased>(values, batch.rule, top, to);
  }
  if constexpr (Spike) {
    send_spikes<V>(values, batch.extremes, block + layout.spikes + 4 * first,
                   block + layout.positions + 2 * first, to);
  }
}

FT_INLINE const float* as_fp32(const float* values, std::size_t, float*) { return values; }

FT_INLINE const float* as_fp32(const std::uint8_t* bf16, std::size_t n, float* room) {
  load(ValueType::bf16, bf16, n, room);
  return room;
}

// Groups [first, last) of one tile; `values` are those of group `first`.
template <int V, typename Source>
FT_INLINE void quantise_slowly(const WireFormat& format, const BlockLayout& layout,
                               const Source* values, std::size_t first, std::size_t last,
                               std::uint8_t* codes, std::uint8_t* block) {
  alignas(64) float room[kBatch * 16 * V];
  quantise_one_by_one<V>(format, layout, as_fp32(values, 16 * V * (last - first), room), first,
                         last, codes, block);
}

// Four batches are prepared before the first is finished: the way from a batch's values to its rule
// is a long chain of dependent instructions, which those of the others fill.
template <int V, bool Spike, typename Source>
void quantise_groups(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
                     const Source* values) {
  constexpr std::size_t kFlight = 4;
  const std::size_t batches = layout.groups / kBatch;  // of a tile
  const auto values_of = [&](std::size_t tile, std::size_t group) {
    return group_at<V>(values, static_cast<int>(tile * layout.groups + group));
  };
  PreparedBatch flight[kFlight];
  for (std::size_t begin = 0; begin < run.tiles * batches; begin += kFlight) {
    const std::size_t left = run.tiles * batches - begin;
    const std::size_t count = left < kFlight ? left : kFlight;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t tile = (begin + i) / batches;
      const std::size_t first = (begin + i) % batches * kBatch;
      prepare_eight<V, Spike>(format, values_of(tile, first),
                              run.block(tile) + layout.scales + first * scale_bytes(format),
                              flight[i]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t tile = (begin + i) / batches;
      const std::size_t first = (begin + i) % batches * kBatch;
      if (flight[i].done) {
        finish_eight<V, Spike>(format, layout, values_of(tile, first), first, flight[i],
                               run.codes(tile), run.block(tile));
      } else {
        quantise_slowly<V>(format, layout, values_of(tile, first), first, first + kBatch,
                           run.codes(tile), run.block(tile));
      }
    }
  }
  for (std::size_t tile = 0; batches * kBatch < layout.groups && tile < run.tiles; ++tile) {
    quantise_slowly<V>(format, layout, values_of(tile, batches * kBatch), batches * kBatch,
                       layout.groups, run.codes(tile), run.block(tile));
  }
}

template <int V, typename Source>
void quantise_by_spike(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
                       const Source* values) {
  format.spike ? quantise_groups<V, true>(format, layout, run, values)
               : quantise_groups<V, false>(format, layout, run, values);
}

template <typename Source>
void quantise_from(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
                   const Source* values) {
  switch (format.group) {
    case 32:
      return quantise_by_spike<2>(format, layout, run, values);
    case 64:
      return quantise_by_spike<4>(format, layout, run, values);
    default:
      return quantise_by_spike<8>(format, layout, run, values);
  }
}

void quantise(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
              ConstValues values) {
  if (values.type == ValueType::fp32) {
    quantise_from(format, layout, run, static_cast<const float*>(values.data));
  } else if (values.type == ValueType::bf16) {
    quantise_from(format, layout, run, static_cast<const std::uint8_t*>(values.data));
  } else {
    alignas(64) float wide[kTilesAtOnce * kBlockValues];
    load(values.type, values.data, run.tiles * layout.values, wide);
    quantise_from(format, layout, run, static_cast<const float*>(wide));
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

// How decoded values leave: stored, added to what is there, or rounded to 16 bits (bf16 by integer
// arithmetic, or by the processor's own instruction).
enum class Out { fp32, fp32_sum, bf16, bf16_native, fp16 };

template <Out To>
struct Element {
  using Type = std::uint16_t;
};
template <>
struct Element<Out::fp32> {
  using Type = float;
};
template <>
struct Element<Out::fp32_sum> {
  using Type = float;
};

// Nearest even by integer addition, 32 values at once; a NaN takes the longer way.
FT_INLINE __m512i round_to_bf16(__m512 a, __m512 b) {
  if (_mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q) != 0) [[unlikely]] {
    return _mm512_inserti64x4(_mm512_castsi256_si512(fp32_to_bf16(a)), fp32_to_bf16(b), 1);
  }
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i half = _mm512_set1_epi32(0x7fff);
  const __m512i u = _mm512_castps_si512(a);
  const __m512i v = _mm512_castps_si512(b);
  const __m512i odd_u = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
  const __m512i odd_v = _mm512_and_si512(_mm512_srli_epi32(v, 16), one);
  const __m512i x = _mm512_add_epi32(_mm512_add_epi32(u, half), odd_u);
  const __m512i y = _mm512_add_epi32(_mm512_add_epi32(v, half), odd_v);
  const __m512i packed = _mm512_packus_epi32(_mm512_srli_epi32(x, 16), _mm512_srli_epi32(y, 16));
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), packed);
}

// AVX512_BF16 rounds 32 values in one instruction, but takes denormals for zeros: only where none
// can occur (no_denormals). Written out, so that this file needs no flag that older processors
// lack.
FT_INLINE __m512i round_native(__m512 a, __m512 b) {
  __m512i result;
  __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(result) : "v"(a), "v"(b));
  return result;
}

// Scale and offset are zero or at least 2^-90 and have 24 bits at most, so code * scale + offset is
// zero or at least 2^-114. NaN and infinity pass too.
FT_INLINE bool no_denormals(GroupScale s) {
  const auto safe = [](float x) { return x == 0 || (float_bits(x) & 0x7fffffffU) >= 0x12800000U; };
  return safe(s.scale) && safe(s.offset);
}

template <Out To>
FT_INLINE void emit(typename Element<To>::Type* to, __m512 a, __m512 b) {
  if constexpr (To == Out::fp32) {
    _mm512_storeu_ps(to, a);
    _mm512_storeu_ps(to + 16, b);
  } else if constexpr (To == Out::fp32_sum) {
    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), a));
    _mm512_storeu_ps(to + 16, _mm512_add_ps(_mm512_loadu_ps(to + 16), b));
  } else if constexpr (To == Out::bf16) {
    _mm512_storeu_si512(to, round_to_bf16(a, b));
  } else if constexpr (To == Out::bf16_native) {
    _mm512_storeu_si512(to, round_native(a, b));
  } else {
    _mm512_storeu_si512(
        to, _mm512_inserti64x4(_mm512_castsi256_si512(fp32_to_fp16(a)), fp32_to_fp16(b), 1));
  }
}

// What must stand in a spike's place, given what stands there before the group is decoded.
template <Out To>
FT_INLINE typename Element<To>::Type spike_value(std::uint16_t bits,
                                                 typename Element<To>::Type before) {
  const float value = to_float(Bf16{bits});
  if constexpr (To == Out::fp32) {
    return value;
  } else if constexpr (To == Out::fp32_sum) {
    return before + value;
  } else if constexpr (To == Out::fp16) {
    return to_fp16(value).bits;
  } else {
    return bits;
  }
}

// The table of a group whose codes have few bits: what the 32 codes from First on come back as,
// rounded to bf16. One permutation then decodes 32 values.
template <int First>
FT_INLINE __m512i bf16_table(__m512 scale, __m512 offset) {
  const __m512 codes = _mm512_setr_ps(First, First + 1, First + 2, First + 3, First + 4, First + 5,
                                      First + 6, First + 7, First + 8, First + 9, First + 10,
                                      First + 11, First + 12, First + 13, First + 14, First + 15);
  const __m512 next = _mm512_add_ps(codes, _mm512_set1_ps(16.0F));
  return round_to_bf16(_mm512_fmadd_ps(codes, scale, offset), _mm512_fmadd_ps(next, scale, offset));
}

FT_INLINE __m512 decode(const std::uint8_t* codes, __m512 scale, __m512 offset) {
  const __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(c)), scale, offset);
}

FT_INLINE __m512 decode_fp8(const std::uint8_t* codes, __m512 scale) {
  return _mm512_mul_ps(fp8_to_fp32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))),
                       scale);
}

// A message of ours holds no NaN code and no scale whose 256-fold overflows; a broken one may.
template <int V>
FT_INLINE bool plain_fp8(const std::uint8_t* codes, float scale) {
  const __m256i magnitude = _mm256_set1_epi8(0x7f);
  unsigned nan = 0;
  for (int i = 0; i < 16 * V; i += 32) {
    const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
    nan |= _mm256_cmpeq_epi8_mask(_mm256_and_si256(c, magnitude), magnitude);
  }
  return nan == 0 && scale < 0x1p119F;
}

// See fp8_to_fp32: shifted by 7 the code is an fp16 pattern of its value / 256, but for bit 14,
// where the extended sign stands.
FT_INLINE __m512i fp8_to_fp16(const std::uint8_t* codes) {
  const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
  return _mm512_and_si512(_mm512_slli_epi16(_mm512_cvtepi8_epi16(c), 7),
                          _mm512_set1_epi16(static_cast<short>(0xbf80)));
}

// fp8: one byte, scaled; narrow: at most five bits; six and wide: the rest.
enum class Codes { fp8, narrow, six, wide };

template <Out To, int V>
FT_INLINE void dequantise_fp8(const std::uint8_t* codes, float scale,
                              typename Element<To>::Type* to) {
  const bool plain = plain_fp8<V>(codes, scale);
  const __m512 by = _mm512_set1_ps(plain ? 256.0F * scale : scale);
  for (int i = 0; i < 16 * V; i += 32) {
    if (plain) [[likely]] {
      const __m512i half = fp8_to_fp16(codes + i);
      emit<To>(to + i, _mm512_mul_ps(_mm512_cvtph_ps(_mm512_castsi512_si256(half)), by),
               _mm512_mul_ps(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1)), by));
    } else {
      emit<To>(to + i, decode_fp8(codes + i, by), decode_fp8(codes + i + 16, by));
    }
  }
}

template <Out To, Codes From, int V>
FT_INLINE void dequantise_group(const std::uint8_t* codes, GroupScale s,
                                typename Element<To>::Type* to) {
  const __m512 scale = _mm512_set1_ps(s.scale);
  const __m512 offset = _mm512_set1_ps(s.offset);
  if constexpr (From == Codes::fp8) {
    dequantise_fp8<To, V>(codes, s.scale, to);
  } else if constexpr (From == Codes::narrow || From == Codes::six) {
    const __m512i table = bf16_table<0>(scale, offset);
    const __m512i upper = From == Codes::six ? bf16_table<32>(scale, offset) : table;
    for (int i = 0; i < 16 * V; i += 32) {
      const __m512i c =
          _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i)));
      _mm512_storeu_si512(to + i, From == Codes::six ? _mm512_permutex2var_epi16(table, c, upper)
                                                     : _mm512_permutexvar_epi16(c, table));
    }
  } else {
    for (int i = 0; i < 16 * V; i += 32) {
      emit<To>(to + i, decode(codes + i, scale, offset), decode(codes + i + 16, scale, offset));
    }
  }
}

template <Out To, Codes From, int V>
FT_INLINE void dequantise_one(const std::uint8_t* codes, GroupScale s,
                              typename Element<To>::Type* to) {
  if constexpr (To == Out::bf16_native) {
    if (!no_denormals(s)) [[unlikely]] {
      return dequantise_group<Out::bf16, From, V>(codes, s, to);
    }
  }
  dequantise_group<To, From, V>(codes, s, to);
}

// Asks for the lines 1 KiB after `bytes` of output: the stores alone, which leave in order, wait
// for each line that is not in the first-level cache. What is after the end is not touched.
FT_INLINE void fetch_ahead(const void* to, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(static_cast<const char*>(to) + 1024 + i, 1);
  }
}

template <Out To, Codes From, int V>
void dequantise_groups(const WireFormat& format, const BlockLayout& layout,
                       const std::uint8_t* codes, const std::uint8_t* block, void* out) {
  using Type = typename Element<To>::Type;
  constexpr std::size_t kGroup = 16 * V;
  const std::size_t scale_size = scale_bytes(format);
  for (std::size_t g = 0; g < layout.groups; ++g) {
    const GroupScale s = group_scale(
        format.scale, format.bits, read_scale(block + layout.scales + g * scale_size, scale_size));
    Type* to = static_cast<Type*>(out) + g * kGroup;
    fetch_ahead(to, sizeof(Type) * kGroup);
    if (!format.spike) {
      dequantise_one<To, From, V>(codes + g * kGroup, s, to);
      continue;
    }
    // A broken message must not lead out of the group.
    const std::size_t low = block[layout.positions + 2 * g] & (kGroup - 1);
    const std::size_t high = block[layout.positions + 2 * g + 1] & (kGroup - 1);
    std::uint16_t pair[2];
    __builtin_memcpy(pair, block + layout.spikes + 4 * g, sizeof(pair));
    const Type low_value = spike_value<To>(pair[0], to[low]);
    const Type high_value = spike_value<To>(pair[1], to[high]);
    dequantise_one<To, From, V>(codes + g * kGroup, s, to);
    to[low] = low_value;
    to[high] = high_value;
  }
}

template <Out To, Codes From>
void dequantise_from(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                     const std::uint8_t* block, void* out) {
  switch (format.group) {
    case 32:
      return dequantise_groups<To, From, 2>(format, layout, codes, block, out);
    case 64:
      return dequantise_groups<To, From, 4>(format, layout, codes, block, out);
    default:
      return dequantise_groups<To, From, 8>(format, layout, codes, block, out);
  }
}

template <Out To>
void dequantise_to(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                   const std::uint8_t* block, void* out) {
  if (format.kind == WireFormat::Kind::fp8) {
    dequantise_from<To, Codes::fp8>(format, layout, codes, block, out);
  } else {
    dequantise_from<To, Codes::wide>(format, layout, codes, block, out);
  }
}

template <bool Native>
void dequantise_to_bf16(const WireFormat& format, const BlockLayout& layout,
                        const std::uint8_t* codes, const std::uint8_t* block, void* out) {
  if (format.kind == WireFormat::Kind::integer && format.bits <= 5) {
    dequantise_from<Out::bf16, Codes::narrow>(format, layout, codes, block, out);
  } else if (format.kind == WireFormat::Kind::integer && format.bits == 6) {
    dequantise_from<Out::bf16, Codes::six>(format, layout, codes, block, out);
  } else {
    dequantise_to<Native ? Out::bf16_native : Out::bf16>(format, layout, codes, block, out);
  }
}

template <bool Native>
void dequantise(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                const std::uint8_t* block, MutableValues out, bool accumulate) {
  switch (out.type) {
    case ValueType::fp32:
      return accumulate ? dequantise_to<Out::fp32_sum>(format, layout, codes, block, out.data)
                        : dequantise_to<Out::fp32>(format, layout, codes, block, out.data);
    case ValueType::bf16:
      return dequantise_to_bf16<Native>(format, layout, codes, block, out.data);
    case ValueType::fp16:
      return dequantise_to<Out::fp16>(format, layout, codes, block, out.data);
  }
}

// ---- bit planes, 64 codes at a time
// --------------------------------------------------------------

// Every Step-th byte. One permutation; the narrowing conversions take two on the same port.
template <unsigned Step>
struct alignas(64) EveryByte {
  std::uint8_t at[64];
  constexpr EveryByte() : at{} {
    for (unsigned i = 0; i < 64 / Step; ++i) {
      at[i] = static_cast<std::uint8_t>(Step * i);
    }
  }
};

template <unsigned Step>
FT_INLINE __m512i every_byte(__m512i x) {
  static constexpr EveryByte<Step> kOrder;
  return _mm512_permutexvar_epi8(_mm512_load_si512(kOrder.at), x);
}

FT_INLINE __m256i pack_four(__m512i codes) {
  const __m512i low = _mm512_and_si512(codes, _mm512_set1_epi8(0x0f));
  return _mm512_castsi512_si256(
      every_byte<2>(_mm512_maddubs_epi16(low, _mm512_set1_epi16(0x1001))));
}

template <int Shift>
FT_INLINE __m128i pack_two(__m512i codes) {
  const __m512i part = _mm512_and_si512(_mm512_srli_epi16(codes, Shift), _mm512_set1_epi8(3));
  const __m512i nibbles = _mm512_maddubs_epi16(part, _mm512_set1_epi16(0x0401));
  return _mm512_castsi512_si128(
      every_byte<4>(_mm512_madd_epi16(nibbles, _mm512_set1_epi32(0x00100001))));
}

// Where the three planes of n codes stand.
template <int Bits, typename Byte>
struct Planes {
  static constexpr PlaneSplit kSplit = plane_split(Bits);
  Planes(Byte* begin, std::size_t n)
      : four(begin), two(four + (kSplit.four ? n / 2 : 0)), one(two + (kSplit.two ? n / 4 : 0)) {}
  Byte* four;
  Byte* two;
  Byte* one;
};

// 64 codes, or the 32 that are left at the end. Whole ones take plain stores: a masked store cannot
// be forwarded to the load that follows it.
template <int Bits, bool Whole>
FT_INLINE void pack_step(__m512i c, const Planes<Bits, std::uint8_t>& to, std::size_t i) {
  constexpr PlaneSplit kSplit = plane_split(Bits);
  if constexpr (kSplit.four) {
    const __m256i part = pack_four(c);
    if constexpr (Whole) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to.four + i / 2), part);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to.four + i / 2), _mm256_castsi256_si128(part));
    }
  }
  if constexpr (kSplit.two) {
    const __m128i part = pack_two<kSplit.two_shift>(c);
    if constexpr (Whole) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to.two + i / 4), part);
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to.two + i / 4), part);
    }
  }
  if constexpr (kSplit.one) {
    const std::uint64_t bits =
        _mm512_test_epi8_mask(c, _mm512_set1_epi8(static_cast<char>(1 << kSplit.one_shift)));
    __builtin_memcpy(to.one + i / 8, &bits, Whole ? 8 : 4);
  }
}

template <int Bits>
void pack(const std::uint8_t* codes, std::size_t n, std::uint8_t* out) {
  const Planes<Bits, std::uint8_t> to(out, n);
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    pack_step<Bits, true>(_mm512_loadu_si512(codes + i), to, i);
  }
  if (i < n) {
    pack_step<Bits, false>(_mm512_maskz_loadu_epi8(0xffffffffU, codes + i), to, i);
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

template <int Bits, bool Whole>
FT_INLINE __m512i unpack_step(const Planes<Bits, const std::uint8_t>& from, std::size_t i) {
  constexpr PlaneSplit kSplit = plane_split(Bits);
  __m512i c = _mm512_setzero_si512();
  if constexpr (kSplit.four) {
    const std::uint8_t* at = from.four + i / 2;
    c = unpack_four(Whole ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))
                          : _mm256_maskz_loadu_epi8(0xffffU, at));
  }
  if constexpr (kSplit.two) {
    const std::uint8_t* at = from.two + i / 4;
    const __m512i part = unpack_two(Whole ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(at))
                                          : _mm_maskz_loadu_epi8(0xffU, at));
    c = _mm512_or_si512(c, _mm512_slli_epi16(part, kSplit.two_shift));
  }
  if constexpr (kSplit.one) {
    std::uint64_t bits = 0;
    __builtin_memcpy(&bits, from.one + i / 8, Whole ? 8 : 4);
    c = _mm512_mask_add_epi8(c, bits, c,
                             _mm512_set1_epi8(static_cast<char>(1 << kSplit.one_shift)));
  }
  return c;
}

template <int Bits>
void unpack(const std::uint8_t* in, std::size_t n, std::uint8_t* codes) {
  const Planes<Bits, const std::uint8_t> from(in, n);
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    _mm512_storeu_si512(codes + i, unpack_step<Bits, true>(from, i));
  }
  if (i < n) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i),
                        _mm512_castsi512_si256(unpack_step<Bits, false>(from, i)));
  }
}

#include "kernels/codec/tile_table.inc"

}  // namespace

const TileKernels& avx512_tile_kernels() {
  static constexpr TileKernels kKernels = tile_table("avx512", dequantise<false>);
  return kKernels;
}

const TileKernels& avx512_bf16_tile_kernels() {
  static constexpr TileKernels kKernels = tile_table("avx512_bf16", dequantise<true>);
  return kKernels;
}

}  // namespace foretoken::kernels
