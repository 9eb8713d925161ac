// AVX-512 with VNNI. VPDPBUSD multiplies unsigned by signed bytes, so weights enter as w + 128 (one
// xor) or, from nibbles, as w + 8, and offset * sum(a) is taken off the sums. High nibbles are
// multiplied in place, as 16 (w + 8), and their sum is shifted right by 4, which is exact: two
// instructions expand 128 weights.
#include <immintrin.h>

#include "kernels/gemm/cpu_kernels.h"

namespace foretoken::kernels {
namespace {

// Rows that share one pass over the weights: 8 sums (16 from nibbles) stay in registers, and the
// pass is bound by VPDPBUSD and no longer by loads.
constexpr int kMaxRows = 8;
// Matrix-vector products stream cold weights: this many bytes ahead covers one trip to memory at
// the rate a core consumes them.
constexpr int kPrefetch = 4096;

inline __m512i load(const void* p) { return _mm512_loadu_si512(p); }

inline __m512i quad(const std::int8_t* a) {
  int value;
  __builtin_memcpy(&value, a, 4);
  return _mm512_set1_epi32(value);
}

inline void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p) + kPrefetch, _MM_HINT_T0);
}

// Sums of a group, kept in `Ways` independent chains so that few rows do not wait for VPDPBUSD's
// latency.
template <int Rows>
struct Sums {
  static constexpr int kWays = Rows == 1 ? 4 : Rows <= 4 ? 2 : 1;
  __m512i low[Rows][kWays], high[Rows][kWays];
};

template <int Rows>
inline void clear(Sums<Rows>& sums) {
  for (int r = 0; r < Rows; ++r) {
    for (int way = 0; way < Sums<Rows>::kWays; ++way) {
      sums.low[r][way] = sums.high[r][way] = _mm512_setzero_si512();
    }
  }
}

template <int Rows>
inline void add_int8_tile(const std::int8_t* a, std::int64_t stride, const std::uint8_t* tile,
                          Sums<Rows>& sums) {
  constexpr int kWays = Sums<Rows>::kWays;
  const __m512i flip = _mm512_set1_epi8(-128);
#pragma GCC unroll 16
  for (int q = 0; q < 16; ++q) {
    if constexpr (Rows <= 4) {
      prefetch(tile + q * 64);
    }
    const __m512i w = _mm512_xor_si512(load(tile + q * 64), flip);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      sums.low[r][q % kWays] =
          _mm512_dpbusd_epi32(sums.low[r][q % kWays], w, quad(a + r * stride + q * 4));
    }
  }
}

template <int Rows>
inline void add_nibble_tile(const std::int8_t* a, std::int64_t stride, const std::uint8_t* tile,
                            Sums<Rows>& sums) {
  constexpr int kWays = Sums<Rows>::kWays;
  const __m512i low_mask = _mm512_set1_epi8(0x0f), low_flip = _mm512_set1_epi8(0x08);
  const __m512i high_mask = _mm512_set1_epi8(static_cast<char>(0xf0));
  const __m512i high_flip = _mm512_set1_epi8(static_cast<char>(0x80));
  constexpr int kXorAnd = 0x78;  // a ^ (b & c)
#pragma GCC unroll 8
  for (int q = 0; q < 8; ++q) {
    if constexpr (Rows <= 4) {
      prefetch(tile + q * 64);
    }
    const __m512i packed = load(tile + q * 64);
    const __m512i low = _mm512_ternarylogic_epi32(low_flip, low_mask, packed, kXorAnd);
    const __m512i high = _mm512_ternarylogic_epi32(high_flip, high_mask, packed, kXorAnd);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const std::int8_t* const row = a + r * stride + q * 4;
      sums.low[r][q % kWays] = _mm512_dpbusd_epi32(sums.low[r][q % kWays], low, quad(row));
      sums.high[r][q % kWays] = _mm512_dpbusd_epi32(sums.high[r][q % kWays], high, quad(row + 32));
    }
  }
}

// Modulo 2^32, like the vector sums: only the final difference must fit 32 bits.
inline std::int32_t times(std::uint32_t offset, std::int32_t a_sum) {
  return static_cast<std::int32_t>(offset * static_cast<std::uint32_t>(a_sum));
}

// The dot product of one row, from its chains.
template <int Rows>
inline __m512i total(const Sums<Rows>& sums, int r, bool nibbles, std::int32_t a_sum) {
  __m512i low = sums.low[r][0], high = sums.high[r][0];
#pragma GCC unroll 4
  for (int way = 1; way < Sums<Rows>::kWays; ++way) {
    low = _mm512_add_epi32(low, sums.low[r][way]);
    high = _mm512_add_epi32(high, sums.high[r][way]);
  }
  if (!nibbles) {
    return _mm512_sub_epi32(low, _mm512_set1_epi32(times(128, a_sum)));
  }
  low = _mm512_add_epi32(low, _mm512_srai_epi32(high, 4));
  return _mm512_sub_epi32(low, _mm512_set1_epi32(times(8, a_sum)));
}

template <int Rows, bool Nibbles, Accumulate Mode>
void int8_rows(const Int8Task& task, int row, int block) {
  const std::int8_t* const a = task.a + row * task.a_stride;
  const std::uint8_t* const b = task.b + block * task.b_stride;
  const __m512i zero = _mm512_setzero_si512();
  __m512i c[Rows];
  for (int r = 0; r < Rows; ++r) {
    c[r] = zero;
  }
  for (std::int64_t g = 0; g * task.group_tiles < task.k_tiles; ++g) {
    Sums<Rows> sums;
    clear(sums);
    for (std::int64_t t = g * task.group_tiles; t < (g + 1) * task.group_tiles; ++t) {
      if constexpr (Nibbles) {
        add_nibble_tile<Rows>(a + t * 64, task.a_stride, b + t * 512, sums);
      } else {
        add_int8_tile<Rows>(a + t * 64, task.a_stride, b + t * 1024, sums);
      }
    }
    const std::int64_t scale = block * task.scale_stride + g * 16;
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i dot = total(sums, r, Nibbles, task.a_sums[(row + r) * task.a_sum_stride + g]);
      if constexpr (Mode == Accumulate::plain) {
        c[r] = dot;
      } else if constexpr (Mode == Accumulate::integer_groups) {
        const __m512i s = load(static_cast<const std::int32_t*>(task.scales) + scale);
        c[r] = _mm512_add_epi32(c[r], _mm512_mullo_epi32(dot, s));
      } else {
        const __m512 s = _mm512_loadu_ps(static_cast<const float*>(task.scales) + scale);
        c[r] = _mm512_castps_si512(
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), s, _mm512_castsi512_ps(c[r])));
      }
    }
  }
  auto* const out = static_cast<std::int32_t*>(task.c) + row * kBlockChannels + block * 16;
  for (int r = 0; r < Rows; ++r) {
    _mm512_storeu_si512(out + r * kBlockChannels, c[r]);
  }
}

template <bool Nibbles, Accumulate Mode>
void int8_all_rows(const Int8Task& task) {
  constexpr void (*kRows[])(const Int8Task&, int, int) = {
      int8_rows<1, Nibbles, Mode>, int8_rows<2, Nibbles, Mode>, int8_rows<3, Nibbles, Mode>,
      int8_rows<4, Nibbles, Mode>, int8_rows<5, Nibbles, Mode>, int8_rows<6, Nibbles, Mode>,
      int8_rows<7, Nibbles, Mode>, int8_rows<8, Nibbles, Mode>};
  for (int block = 0; block < 2; ++block) {
    for (int row = 0; row < task.rows; row += kMaxRows) {
      const int left = task.rows - row;
      kRows[(left < kMaxRows ? left : kMaxRows) - 1](task, row, block);
    }
  }
}

void int8_block(const Int8Task& task) {
  switch (task.accumulate) {
    case Accumulate::plain:
      return task.nibbles ? int8_all_rows<true, Accumulate::plain>(task)
                          : int8_all_rows<false, Accumulate::plain>(task);
    case Accumulate::float_groups:
      return task.nibbles ? int8_all_rows<true, Accumulate::float_groups>(task)
                          : int8_all_rows<false, Accumulate::float_groups>(task);
    case Accumulate::integer_groups:
      return task.nibbles ? int8_all_rows<true, Accumulate::integer_groups>(task)
                          : int8_all_rows<false, Accumulate::integer_groups>(task);
  }
}

template <int Rows>
inline void add_float_tile(const float* a, std::int64_t stride, const std::uint16_t* tile,
                           __m512 (&acc)[Rows]) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
#pragma GCC unroll 4
  for (int p = 0; p < 16; ++p) {
    const __m512i w = load(tile + p * 32);
    const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
    const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(w, upper));
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      acc[r] = _mm512_fmadd_ps(even, _mm512_set1_ps(a[r * stride + p * 2]), acc[r]);
      acc[r] = _mm512_fmadd_ps(odd, _mm512_set1_ps(a[r * stride + p * 2 + 1]), acc[r]);
    }
  }
}

template <int Rows>
void float_rows(const FloatTask& task, int row, int block) {
  const std::int64_t stride = task.a_stride / 4;
  const float* const a = static_cast<const float*>(task.a) + row * stride;
  const std::uint16_t* const b = task.b + block * task.b_stride;
  __m512 c[Rows];
  for (int r = 0; r < Rows; ++r) {
    c[r] = _mm512_setzero_ps();
  }
  for (std::int64_t g = 0; g * task.group_tiles < task.k_tiles; ++g) {
    __m512 acc[Rows];
    for (int r = 0; r < Rows; ++r) {
      acc[r] = _mm512_setzero_ps();
    }
    for (std::int64_t t = g * task.group_tiles; t < (g + 1) * task.group_tiles; ++t) {
      add_float_tile<Rows>(a + t * 32, stride, b + t * 512, acc);
    }
    for (int r = 0; r < Rows; ++r) {
      if (task.scales == nullptr) {
        c[r] = _mm512_add_ps(c[r], acc[r]);
      } else {
        const __m512 s =
            _mm512_mul_ps(_mm512_loadu_ps(task.scales + block * task.scale_stride + g * 16),
                          _mm512_set1_ps(task.a_scales == nullptr
                                             ? 1.0F
                                             : task.a_scales[(row + r) * task.a_scale_stride + g]));
        c[r] = _mm512_fmadd_ps(acc[r], s, c[r]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    _mm512_storeu_ps(task.c + (row + r) * kBlockChannels + block * 16, c[r]);
  }
}

void float_block(const FloatTask& task) {
  for (int block = 0; block < 2; ++block) {
    int row = 0;
    for (; row + 7 < task.rows; row += 8) {
      float_rows<8>(task, row, block);
    }
    for (; row + 1 < task.rows; row += 2) {
      float_rows<2>(task, row, block);
    }
    if (row < task.rows) {
      float_rows<1>(task, row, block);
    }
  }
}

// Sixteen fp32 bit patterns rounded to nearest even into the low halves; no NaN comes in.
inline __m512i round_to_bf16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff)),
                           16);
}

// Widths of the planes, lowest bits first, as packed_weights.h documents them.
inline void plane_widths(int bits, int (&width)[2]) {
  width[0] = bits >= 4 ? 4 : 2;
  width[1] = bits - width[0];
}

// Pair row `row` of a tile: 32 unsigned values of `bits` bits in 16-bit lanes.
inline __m512i gather_planes(const std::uint8_t* tile, const int (&width)[2], int row) {
  __m512i value = _mm512_setzero_si512();
  int shift = 0;
  for (const int w : width) {
    if (w == 0) {
      break;
    }
    const __m512i word = load(tile + row % w * 64);
    const __m512i field = _mm512_and_si512(_mm512_srl_epi16(word, _mm_cvtsi32_si128(row / w * w)),
                                           _mm512_set1_epi16(static_cast<short>((1 << w) - 1)));
    value = _mm512_or_si512(value, _mm512_sll_epi16(field, _mm_cvtsi32_si128(shift)));
    shift += w;
    tile += w * 64;
  }
  return value;
}

inline __m512 scaled(__m256i words, __m512 scale) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(words)), scale);
}

// Up to 5 bits without scales: the bf16 of each of 32 possible values from a table.
void look_up_integers(const ExpandTask& task) {
  alignas(64) std::uint16_t table[32];
  for (int u = 0; u < 32; ++u) {
    const auto w = static_cast<float>(u % (1 << task.bits) - (1 << (task.bits - 1)));
    std::uint32_t pattern;
    __builtin_memcpy(&pattern, &w, 4);
    table[u] = static_cast<std::uint16_t>(pattern >> 16);  // exact: at most 5 significant bits
  }
  const __m512i values = load(table);
  int width[2];
  plane_widths(task.bits, width);
  auto* out = static_cast<std::uint16_t*>(task.out);
  for (std::int64_t tile = 0; tile < task.tiles; ++tile) {
    const std::uint8_t* const packed = task.packed + tile * 64 * task.bits;
    _mm_prefetch(reinterpret_cast<const char*>(packed) + kPrefetch, _MM_HINT_T0);
    if (task.bits == 4) {  // a table of period 16 needs no mask
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        const __m512i word = load(packed + q * 64);
        _mm512_storeu_si512(out + q * 32, _mm512_permutexvar_epi16(word, values));
        _mm512_storeu_si512(out + (q + 4) * 32,
                            _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 4), values));
        _mm512_storeu_si512(out + (q + 8) * 32,
                            _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 8), values));
        _mm512_storeu_si512(out + (q + 12) * 32,
                            _mm512_permutexvar_epi16(_mm512_srli_epi16(word, 12), values));
      }
      out += 512;
      continue;
    }
    for (int row = 0; row < 16; ++row, out += 32) {
      _mm512_storeu_si512(out, _mm512_permutexvar_epi16(gather_planes(packed, width, row), values));
    }
  }
}

void expand_integers(const ExpandTask& task) {
  if (task.scales == nullptr && task.bits <= 5) {
    return look_up_integers(task);
  }
  // Lane 2c and 2c+1 belong to channel c.
  const __m512i first = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  const __m512i bias = _mm512_set1_epi16(static_cast<short>(1 << (task.bits - 1)));
  int width[2];
  plane_widths(task.bits, width);
  auto* out = static_cast<std::uint16_t*>(task.out);
  for (std::int64_t tile = 0; tile < task.tiles; ++tile) {
    const __m512 scales = task.scales == nullptr
                              ? _mm512_set1_ps(1.0F)
                              : _mm512_loadu_ps(task.scales + tile / task.group_tiles * 16);
    const __m512 low_scale = _mm512_permutexvar_ps(first, scales);
    const __m512 high_scale = _mm512_permutexvar_ps(second, scales);
    const std::uint8_t* const packed = task.packed + tile * 64 * task.bits;
    for (int row = 0; row < 16; ++row, out += 32) {
      const __m512i w = _mm512_sub_epi16(gather_planes(packed, width, row), bias);
      const __m512i low = round_to_bf16(scaled(_mm512_castsi512_si256(w), low_scale));
      const __m512i high = round_to_bf16(scaled(_mm512_extracti64x4_epi64(w, 1), high_scale));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(low));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), _mm512_cvtepi32_epi16(high));
    }
  }
}

// e4m3 to bf16: the magnitude moved into place as an fp32 pattern and multiplied by 2^120, which
// corrects the exponent bias and normalises denormals, both exactly. Packed weights hold no NaN
// code (0x7f).
inline __m512i fp8_half(__m128i bytes) {
  const __m512i wide = _mm512_cvtepu8_epi32(bytes);
  const __m512i magnitude = _mm512_slli_epi32(_mm512_and_si512(wide, _mm512_set1_epi32(0x7f)), 20);
  const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(wide, _mm512_set1_epi32(0x80)), 24);
  const __m512 value = _mm512_mul_ps(_mm512_castsi512_ps(magnitude), _mm512_set1_ps(0x1p120F));
  return _mm512_srli_epi32(_mm512_or_si512(_mm512_castps_si512(value), sign), 16);
}

void expand_fp8(const ExpandTask& task) {
  auto* out = static_cast<std::uint16_t*>(task.out);
  for (std::int64_t i = 0; i < task.tiles * 512; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(task.packed + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                        _mm512_cvtepi32_epi16(fp8_half(bytes)));
  }
}

inline __m256i bf16_of(__m512 x) {
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(
      _mm512_mask_mov_epi32(round_to_bf16(x), nan, _mm512_set1_epi32(0x7fc0)));
}

void finish(const FinishTask& task) {
  for (int first = 0; first < task.channels; first += 16) {
    const int left = task.channels - first;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    const __m512 channel = _mm512_loadu_ps(task.channel_scales + first);
    for (int row = 0; row < task.rows; ++row) {
      const __m512i c =
          load(static_cast<const std::int32_t*>(task.c) + row * kBlockChannels + first);
      const float token = task.token_scales == nullptr ? 1.0F : task.token_scales[row];
      const __m512 sum = task.is_float ? _mm512_castsi512_ps(c) : _mm512_cvtepi32_ps(c);
      const __m512 value = _mm512_mul_ps(_mm512_mul_ps(sum, channel), _mm512_set1_ps(token));
      const std::int64_t at = row * task.out_stride + first;
      if (task.bf16) {
        _mm256_mask_storeu_epi16(static_cast<std::uint16_t*>(task.out) + at, mask, bf16_of(value));
      } else {
        _mm512_mask_storeu_ps(static_cast<float*>(task.out) + at, mask, value);
      }
    }
  }
}

}  // namespace

const CpuKernels& avx512_vnni_kernels() {
  static const CpuKernels table{CpuIsa::avx512_vnni,
                                "avx512_vnni",
                                ActivationLayout::rows,
                                ActivationLayout::rows,
                                1,
                                120,
                                kNeverExpand,
                                int8_block,
                                float_block,
                                scalar_kernels().expand_nibbles,
                                expand_integers,
                                expand_fp8,
                                finish};
  return table;
}

}  // namespace foretoken::kernels
