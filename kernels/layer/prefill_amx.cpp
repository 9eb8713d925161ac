// Prefill attention on AMX: bf16 products in tiles of 16 rows x 64 bytes, the softmax in AVX-512.
//
// Sums lie in tiles 0..3 (two tiles of rows x two of queries), left operands in 4 and 5, right ones
// in 6 and 7: four multiplications for four loads. The tile unit works through the product with the
// values of the block before while the vector units do the softmax of this one; and the first look
// at scores, 32 positions late, falls into the product with the keys.
#include "kernels/layer/prefill_pass.inc"  // NOLINT(bugprone-suspicious-include)

namespace foretoken::kernels {
namespace {

constexpr int kTile = 1024;
constexpr std::int64_t kRowBytes = kPrefillQueries * 4;  // of scores and sums

struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The tile intrinsics do not tell the compiler which memory they read.
inline void memory_is_written() { __asm__ volatile("" ::: "memory"); }

inline void multiply(const void* left, const void* lower_left, std::int64_t left_stride,
                     const std::uint8_t* right) {
  _tile_loadd(4, left, left_stride);
  _tile_loadd(5, lower_left, left_stride);
  _tile_loadd(6, right, 64);
  _tile_loadd(7, right + kTile, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

inline void load_sums(const float* from) {
  _tile_loadd(0, from, kRowBytes);
  _tile_loadd(1, from + 16, kRowBytes);
  _tile_loadd(2, from + 16 * kPrefillQueries, kRowBytes);
  _tile_loadd(3, from + 16 * kPrefillQueries + 16, kRowBytes);
}

inline void store_sums(float* to) {
  _tile_stored(0, to, kRowBytes);
  _tile_stored(1, to + 16, kRowBytes);
  _tile_stored(2, to + 16 * kPrefillQueries, kRowBytes);
  _tile_stored(3, to + 16 * kPrefillQueries + 16, kRowBytes);
}

class AmxProducts {
 public:
  explicit AmxProducts(const PrefillTask& task) : dim_(task.dim), key_stride_(task.key_stride) {
    const TileShapes shapes;
    memory_is_written();
    _tile_loadconfig(&shapes);
  }

  template <typename Done>
  void multiply_keys(const PrefillKeys& keys, const PrefillQueries& queries, float* scores,
                     const Done& done) {
    memory_is_written();
    for (int row = 0; row < kPrefillKeys; row += 32) {
      const auto* const upper = static_cast<const std::uint8_t*>(keys.keys[row / 16]);
      const auto* const lower = static_cast<const std::uint8_t*>(keys.keys[row / 16 + 1]);
      const auto* q = static_cast<const std::uint8_t*>(queries.queries);
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int i = 0; i < dim_ * 2; i += 64, q += 2 * kTile) {
        multiply(upper + i, lower + i, key_stride_, q);
      }
      store_sums(scores + row * kPrefillQueries);
      if (row > 0) {
        done(row - 32, row);
      }
    }
    done(kPrefillKeys - 32, kPrefillKeys);
  }

  // Two positions' weights become one row of pairs of a right operand, rounded to nearest (ties
  // up).
  void weights(int pair, int column, Floats first, Floats second) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i low = _mm512_add_epi32(_mm512_castps_si512(first), half);
    const __m512i high = _mm512_add_epi32(_mm512_castps_si512(second), half);
    _mm512_store_si512(weights_[now_] + (pair / 16 * 2 + column) * kTile + pair % 16 * 64,
                       _mm512_mask_mov_epi16(_mm512_srli_epi32(low, 16), 0xaaaaaaaa, high));
  }

  void step(int i) {
    constexpr int kGroups = kPrefillKeys / kPrefillValues;
    const int count = sums_ == nullptr ? 0 : dim_ / 32 * kGroups;
    for (int at = i * count / kSteps; at < (i + 1) * count / kSteps; ++at) {
      const int rows = at / kGroups, group = at % kGroups;
      float* const sums = sums_ + std::int64_t{rows} * 32 * kPrefillQueries;
      if (group == 0) {
        memory_is_written();
        load_sums(sums);
      }
      const std::uint8_t* const values =
          values_ + (std::int64_t{group} * (dim_ / 16) + 2 * rows) * kTile;
      multiply(values, values + kTile, 64, weights_[1 - now_] + group * 2 * kTile);
      if (group == kGroups - 1) {
        store_sums(sums);
      }
    }
  }
  void next(const PrefillKeys& keys, const PrefillQueries& queries) {
    values_ = static_cast<const std::uint8_t*>(keys.values);
    sums_ = queries.sums;
    now_ = 1 - now_;
    memory_is_written();
  }

 private:
  int dim_, now_ = 0;
  std::int64_t key_stride_;
  const std::uint8_t* values_ = nullptr;
  float* sums_ = nullptr;
  alignas(64) std::uint8_t weights_[2][kPrefillKeys / 16 * kTile];
};

// Exchanges what lies at distance Span off the diagonal of a 16 x 16 matrix of words.
template <int Span>
inline void exchange(__m512i (&rows)[16]) {
  alignas(64) std::int32_t upper[16], lower[16];
  for (int i = 0; i < 16; ++i) {  // 16 and up: the second operand's words
    upper[i] = (i & Span) != 0 ? 16 + i - Span : i;
    lower[i] = (i & Span) != 0 ? 16 + i : i + Span;
  }
  const __m512i to_upper = _mm512_load_si512(upper), to_lower = _mm512_load_si512(lower);
  for (int row = 0; row < 16; ++row) {
    if ((row & Span) == 0) {
      const __m512i a = rows[row], b = rows[row + Span];
      rows[row] = _mm512_permutex2var_epi32(a, to_upper, b);
      rows[row + Span] = _mm512_permutex2var_epi32(a, to_lower, b);
    }
  }
}

inline void transpose(__m512i (&rows)[16]) {
  exchange<1>(rows);
  exchange<2>(rows);
  exchange<4>(rows);
  exchange<8>(rows);
}

void pack_keys(const std::uint16_t* const* rows, int dim, void* out) {
  auto* to = static_cast<std::uint8_t*>(out);
  for (int row = 0; row < kPrefillPage; ++row) {
    for (int i = 0; i < dim; i += 32, to += 64) {
      _mm512_store_si512(to, _mm512_loadu_si512(rows[row] + i));
    }
  }
}

// Tiles of 16 channels x 32 positions.
void pack_values(const std::uint16_t* const* rows, int dim, void* out) {
  auto* to = static_cast<std::uint8_t*>(out);
  for (int i = 0; i < dim; i += 16) {
    __m512i pairs[16];
    for (int pair = 0; pair < 16; ++pair) {
      const auto read = [&](int row) {
        return _mm512_cvtepu16_epi32(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[row] + i)));
      };
      pairs[pair] = _mm512_or_si512(read(2 * pair), _mm512_slli_epi32(read(2 * pair + 1), 16));
    }
    transpose(pairs);
    for (int row = 0; row < 16; ++row, to += 64) {
      _mm512_store_si512(to, pairs[row]);
    }
  }
}

// For each 32 channels two tiles of 16 pairs of channels x 16 queries.
void pack_queries(const std::uint16_t* const* rows, int dim, void* out) {
  auto* to = static_cast<std::uint8_t*>(out);
  for (int i = 0; i < dim; i += 32) {
    for (int first = 0; first < kPrefillQueries; first += 16) {
      __m512i words[16];
      for (int row = 0; row < 16; ++row) {
        words[row] = _mm512_loadu_si512(rows[first + row] + i);
      }
      transpose(words);
      for (int row = 0; row < 16; ++row, to += 64) {
        _mm512_store_si512(to, words[row]);
      }
    }
  }
}

void store_results(const PrefillQueries& queries, int head_dim, int count,
                   std::uint16_t* const* rows) {
  for (int first = 0; first < count; first += 16) {
    const __m512 factor =
        _mm512_div_ps(_mm512_set1_ps(1.0F), _mm512_load_ps(queries.total + first));
    for (int i = 0; i < head_dim; i += 16) {
      __m512i words[16];
      for (int row = 0; row < 16; ++row) {
        words[row] = _mm512_castps_si512(_mm512_mul_ps(
            _mm512_load_ps(queries.sums + std::int64_t{i + row} * kPrefillQueries + first),
            factor));
      }
      transpose(words);
      const int here = head_dim - i < 16 ? head_dim - i : 16;
      for (int row = 0; row < 16 && first + row < count; ++row) {
        const __m512i odd =
            _mm512_and_si512(_mm512_srli_epi32(words[row], 16), _mm512_set1_epi32(1));
        const __m512i rounded =
            _mm512_add_epi32(_mm512_add_epi32(words[row], odd), _mm512_set1_epi32(0x7fff));
        _mm256_mask_storeu_epi16(rows[first + row] + i, static_cast<__mmask16>((1U << here) - 1),
                                 _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
      }
    }
  }
}

}  // namespace

const PrefillKernels& prefill_amx() {
  static constexpr PrefillKernels kTable{
      "amx", 2, true, pack_keys, pack_values, pack_queries, attend<AmxProducts>, store_results};
  return kTable;
}

}  // namespace foretoken::kernels
