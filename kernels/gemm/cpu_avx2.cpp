// AVX2: products of unsigned and signed bytes in pairs (VPMADDUBSW) and pairs of 16-bit sums
// (VPMADDWD). Pair sums stay below 2^15: 2 x 127 x 127 = 32,258 because packers keep -128 out.
#include <immintrin.h>

#include "kernels/gemm/cpu_kernels.h"

namespace foretoken::kernels {
namespace {

constexpr int kMaxRows = 4;

struct Half {  // eight channels
  __m256i lo, hi;
};

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// |w| unsigned times a with w's sign: VPMADDUBSW wants one side unsigned, and w + 128 would
// saturate.
inline __m256i dot_int8(__m256i w, __m256i a) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// Nibbles as w + 8 in 0..15; two quads add up to at most 2 x 2 x 15 x 127 = 7,620 in 16 bits.
inline __m256i dot_nibbles(__m256i packed, __m256i a_low, __m256i a_high) {
  const __m256i mask = _mm256_set1_epi8(15), flip = _mm256_set1_epi8(8);
  const __m256i low = _mm256_xor_si256(_mm256_and_si256(packed, mask), flip);
  const __m256i high = _mm256_xor_si256(_mm256_and_si256(_mm256_srli_epi16(packed, 4), mask), flip);
  const __m256i pairs =
      _mm256_add_epi16(_mm256_maddubs_epi16(low, a_low), _mm256_maddubs_epi16(high, a_high));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

inline __m256i quad(const std::int8_t* a) {
  int value;
  __builtin_memcpy(&value, a, 4);
  return _mm256_set1_epi32(value);
}

template <int Rows>
void add_int8_tile(const std::int8_t* a, std::int64_t stride, const std::uint8_t* tile,
                   Half (&acc)[Rows]) {
  for (int q = 0; q < 16; ++q) {
    const __m256i lo = load(tile + q * 64), hi = load(tile + q * 64 + 32);
    for (int r = 0; r < Rows; ++r) {
      const __m256i values = quad(a + r * stride + q * 4);
      acc[r].lo = _mm256_add_epi32(acc[r].lo, dot_int8(lo, values));
      acc[r].hi = _mm256_add_epi32(acc[r].hi, dot_int8(hi, values));
    }
  }
}

template <int Rows>
void add_nibble_tile(const std::int8_t* a, std::int64_t stride, const std::uint8_t* tile,
                     Half (&acc)[Rows]) {
  for (int q = 0; q < 8; ++q) {
    const __m256i lo = load(tile + q * 64), hi = load(tile + q * 64 + 32);
    for (int r = 0; r < Rows; ++r) {
      const __m256i first = quad(a + r * stride + q * 4);
      const __m256i second = quad(a + r * stride + q * 4 + 32);
      acc[r].lo = _mm256_add_epi32(acc[r].lo, dot_nibbles(lo, first, second));
      acc[r].hi = _mm256_add_epi32(acc[r].hi, dot_nibbles(hi, first, second));
    }
  }
}

// One 8-channel half of one row's group: c += dot * scale in the manner asked for. `c` is zeroed
// first.
inline void add_group(const Int8Task& task, __m256i dot, std::int64_t scale, void* c) {
  if (task.accumulate == Accumulate::float_groups) {
    auto* const out = static_cast<float*>(c);
    const __m256 s = _mm256_loadu_ps(static_cast<const float*>(task.scales) + scale);
    _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), s, _mm256_loadu_ps(out)));
    return;
  }
  if (task.accumulate == Accumulate::integer_groups) {
    dot = _mm256_mullo_epi32(dot, load(static_cast<const std::int32_t*>(task.scales) + scale));
  }
  _mm256_storeu_si256(static_cast<__m256i*>(c), _mm256_add_epi32(load(c), dot));
}

template <int Rows>
void int8_rows(const Int8Task& task, int row, int block) {
  const std::int8_t* const a = task.a + row * task.a_stride;
  const std::uint8_t* const b = task.b + block * task.b_stride;
  auto* const c = static_cast<std::int32_t*>(task.c) + row * kBlockChannels + block * 16;
  const __m256i zero = _mm256_setzero_si256();
  for (int r = 0; r < Rows; ++r) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * kBlockChannels), zero);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * kBlockChannels + 8), zero);
  }
  for (std::int64_t g = 0; g * task.group_tiles < task.k_tiles; ++g) {
    Half acc[Rows];
    for (int r = 0; r < Rows; ++r) {
      const int offset = task.nibbles ? -8 * task.a_sums[(row + r) * task.a_sum_stride + g] : 0;
      acc[r] = {_mm256_set1_epi32(offset), _mm256_set1_epi32(offset)};
    }
    for (std::int64_t t = g * task.group_tiles; t < (g + 1) * task.group_tiles; ++t) {
      if (task.nibbles) {
        add_nibble_tile<Rows>(a + t * 64, task.a_stride, b + t * 512, acc);
      } else {
        add_int8_tile<Rows>(a + t * 64, task.a_stride, b + t * 1024, acc);
      }
    }
    const std::int64_t scale = block * task.scale_stride + g * 16;
    for (int r = 0; r < Rows; ++r) {
      add_group(task, acc[r].lo, scale, c + r * kBlockChannels);
      add_group(task, acc[r].hi, scale + 8, c + r * kBlockChannels + 8);
    }
  }
}

void int8_block(const Int8Task& task) {
  for (int block = 0; block < 2; ++block) {
    for (int row = 0; row < task.rows; row += kMaxRows) {
      switch (task.rows - row) {
        case 1:
          int8_rows<1>(task, row, block);
          break;
        case 2:
          int8_rows<2>(task, row, block);
          break;
        case 3:
          int8_rows<3>(task, row, block);
          break;
        default:
          int8_rows<4>(task, row, block);
      }
    }
  }
}

struct FloatHalf {
  __m256 lo, hi;
};

template <int Rows>
void add_float_tile(const float* a, std::int64_t stride, const std::uint16_t* tile,
                    FloatHalf (&acc)[Rows]) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  for (int p = 0; p < 16; ++p) {
    const __m256i lo = load(tile + p * 32), hi = load(tile + p * 32 + 16);
    const __m256 lo_even = _mm256_castsi256_ps(_mm256_slli_epi32(lo, 16));
    const __m256 lo_odd = _mm256_castsi256_ps(_mm256_and_si256(lo, upper));
    const __m256 hi_even = _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16));
    const __m256 hi_odd = _mm256_castsi256_ps(_mm256_and_si256(hi, upper));
    for (int r = 0; r < Rows; ++r) {
      const __m256 even = _mm256_set1_ps(a[r * stride + p * 2]);
      const __m256 odd = _mm256_set1_ps(a[r * stride + p * 2 + 1]);
      acc[r].lo = _mm256_fmadd_ps(lo_odd, odd, _mm256_fmadd_ps(lo_even, even, acc[r].lo));
      acc[r].hi = _mm256_fmadd_ps(hi_odd, odd, _mm256_fmadd_ps(hi_even, even, acc[r].hi));
    }
  }
}

inline void add_float_group(float* c, __m256 dot, const float* scales, float a_scale) {
  const __m256 s = _mm256_mul_ps(_mm256_loadu_ps(scales), _mm256_set1_ps(a_scale));
  _mm256_storeu_ps(c, _mm256_fmadd_ps(dot, s, _mm256_loadu_ps(c)));
}

template <int Rows>
void float_rows(const FloatTask& task, int row, int block) {
  const std::int64_t stride = task.a_stride / 4;
  const float* const a = static_cast<const float*>(task.a) + row * stride;
  const std::uint16_t* const b = task.b + block * task.b_stride;
  float* const c = task.c + row * kBlockChannels + block * 16;
  for (int r = 0; r < Rows; ++r) {
    _mm256_storeu_ps(c + r * kBlockChannels, _mm256_setzero_ps());
    _mm256_storeu_ps(c + r * kBlockChannels + 8, _mm256_setzero_ps());
  }
  static constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  for (std::int64_t g = 0; g * task.group_tiles < task.k_tiles; ++g) {
    FloatHalf acc[Rows];
    for (int r = 0; r < Rows; ++r) {
      acc[r] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    }
    for (std::int64_t t = g * task.group_tiles; t < (g + 1) * task.group_tiles; ++t) {
      add_float_tile<Rows>(a + t * 32, stride, b + t * 512, acc);
    }
    const float* const scales =
        task.scales == nullptr ? kOnes : task.scales + block * task.scale_stride + g * 16;
    for (int r = 0; r < Rows; ++r) {
      const float a_scale =
          task.a_scales == nullptr ? 1.0F : task.a_scales[(row + r) * task.a_scale_stride + g];
      add_float_group(c + r * kBlockChannels, acc[r].lo, scales, a_scale);
      add_float_group(c + r * kBlockChannels + 8, acc[r].hi, scales + 8, a_scale);
    }
  }
}

void float_block(const FloatTask& task) {
  for (int block = 0; block < 2; ++block) {
    int row = 0;
    for (; row + 2 < task.rows; row += 3) {  // 3 x 2 sums, 4 weights: fits 16 registers
      float_rows<3>(task, row, block);
    }
    for (; row < task.rows; ++row) {
      float_rows<1>(task, row, block);
    }
  }
}

}  // namespace

const CpuKernels& avx2_kernels() {
  static const CpuKernels table{CpuIsa::avx2,
                                "avx2",
                                ActivationLayout::rows,
                                ActivationLayout::rows,
                                1,
                                15,
                                kNeverExpand,
                                int8_block,
                                float_block,
                                scalar_kernels().expand_nibbles,
                                scalar_kernels().expand_integers,
                                scalar_kernels().expand_fp8,
                                scalar_kernels().finish};
  return table;
}

}  // namespace foretoken::kernels
