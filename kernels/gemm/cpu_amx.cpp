// AMX: tiles of 16 rows x 64 bytes. A block of 32 tokens x 32 channels keeps four sums in tiles
// 0..3 and reads two activation tiles (4, 5) and two weight tiles (6, 7) per step of k: four
// multiplications for four loads, the best that eight tiles allow.
//
// Groups: sums leave through memory after each group. Converting and scaling the sums of the
// previous group is spread over the steps of the next, so that the vector units work while the tile
// unit does.
#include <immintrin.h>

#include "kernels/gemm/cpu_kernels.h"

namespace foretoken::kernels {
namespace {

constexpr int kTile = 1024;
constexpr int kRing = 4;   // expanded tiles in flight per block of channels
constexpr int kAhead = 2;  // tiles between expanding and loading: stores reach the cache first
constexpr int kPrefetch = 4096;

struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Sums 0, 1 (first 16 tokens) and 2, 3; activations 4, 5; weights 6, 7. Fewer tokens take fewer
// cycles.
inline void load_shapes(int rows) {
  TileShapes shapes;
  const auto first = static_cast<std::uint8_t>(rows < 16 ? rows : 16);
  const auto second = static_cast<std::uint8_t>(rows > 16 ? rows - 16 : 1);
  const std::uint8_t tile_rows[8] = {first, first, second, second, first, second, 16, 16};
  for (int i = 0; i < 8; ++i) {
    shapes.row_bytes[i] = 64;
    shapes.rows[i] = tile_rows[i];
  }
  _tile_loadconfig(&shapes);
}

// The tile intrinsics do not tell the compiler which memory they read.
inline void memory_is_written() { __asm__ volatile("" ::: "memory"); }

// One row of 64 packed bytes to its low and high quads. GFNI applies any 8x8 bit matrix to each
// byte: row i of the matrix, counted from the top byte, gives bit i of the result.
template <bool Shifted>
inline void expand_row(const std::uint8_t* packed, std::int8_t* low, std::int8_t* high) {
  const __m512i bytes = _mm512_loadu_si512(packed);
  if constexpr (Shifted) {  // 16 w
    const __m512i mask = _mm512_set1_epi8(static_cast<char>(0xf0));
    _mm512_store_si512(low, _mm512_and_si512(_mm512_slli_epi16(bytes, 4), mask));
    _mm512_store_si512(high, _mm512_and_si512(bytes, mask));
  } else {  // sign extension
    const __m512i low_matrix = _mm512_set1_epi64(0x0102040808080808);
    const __m512i high_matrix = _mm512_set1_epi64(0x1020408080808080);
    _mm512_store_si512(low, _mm512_gf2p8affine_epi64_epi8(bytes, low_matrix, 0));
    _mm512_store_si512(high, _mm512_gf2p8affine_epi64_epi8(bytes, high_matrix, 0));
  }
}

template <bool Shifted>
inline void expand_tile(const std::uint8_t* packed, std::int8_t* out) {
#pragma GCC unroll 8
  for (int row = 0; row < 8; ++row) {
    expand_row<Shifted>(packed + row * 64, out + row * 64, out + (row + 8) * 64);
  }
}

void expand_nibbles(const ExpandTask& task, bool shifted) {
  auto* const out = static_cast<std::int8_t*>(task.out);
  for (std::int64_t tile = 0; tile < task.tiles; ++tile) {
    if (shifted) {
      expand_tile<true>(task.packed + tile * (kTile / 2), out + tile * kTile);
    } else {
      expand_tile<false>(task.packed + tile * (kTile / 2), out + tile * kTile);
    }
  }
}

inline void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

template <int RowTiles>
inline void store_sums(void* c) {
  constexpr int kStride = kBlockChannels * 4;
  auto* const at = static_cast<std::uint8_t*>(c);
  _tile_stored(0, at, kStride);
  _tile_stored(1, at + 64, kStride);
  if constexpr (RowTiles == 2) {
    _tile_stored(2, at + 16 * kStride, kStride);
    _tile_stored(3, at + 16 * kStride + 64, kStride);
  }
}

template <int RowTiles>
inline void load_activations(const std::uint8_t* a, std::int64_t stride) {
  _tile_loadd(4, a, 64);
  if constexpr (RowTiles == 2) {
    _tile_loadd(5, a + stride, 64);
  }
}

template <int RowTiles, bool Float>
inline void multiply(const void* first, const void* second) {
  _tile_loadd(6, first, 64);
  _tile_loadd(7, second, 64);
  if constexpr (Float) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (RowTiles == 2) {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  } else {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    if constexpr (RowTiles == 2) {
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
}

// Sums of one finished group, waiting to be scaled into c.
struct Finished {
  const std::int32_t* sums = nullptr;  // [rows][32]
  std::int64_t group = 0;
};

template <Accumulate Mode>
inline void scale_rows(const Int8Task& task, const Finished& done, int first, int last) {
  const std::int64_t at = done.group * 16;
  if constexpr (Mode == Accumulate::float_groups) {
    const auto* const scales = static_cast<const float*>(task.scales) + at;
    const __m512 left = _mm512_loadu_ps(scales);
    const __m512 right = _mm512_loadu_ps(scales + task.scale_stride);
    auto* c = static_cast<float*>(task.c) + first * kBlockChannels;
    const std::int32_t* sums = done.sums + first * kBlockChannels;
    for (int row = first; row < last; ++row, c += kBlockChannels, sums += kBlockChannels) {
      const __m512 x = _mm512_cvtepi32_ps(_mm512_load_si512(sums));
      const __m512 y = _mm512_cvtepi32_ps(_mm512_load_si512(sums + 16));
      _mm512_storeu_ps(c, _mm512_fmadd_ps(x, left, _mm512_loadu_ps(c)));
      _mm512_storeu_ps(c + 16, _mm512_fmadd_ps(y, right, _mm512_loadu_ps(c + 16)));
    }
  } else {
    const auto* const scales = static_cast<const std::int32_t*>(task.scales) + at;
    const __m512i left = _mm512_loadu_si512(scales);
    const __m512i right = _mm512_loadu_si512(scales + task.scale_stride);
    auto* c = static_cast<std::int32_t*>(task.c) + first * kBlockChannels;
    const std::int32_t* sums = done.sums + first * kBlockChannels;
    for (int row = first; row < last; ++row, c += kBlockChannels, sums += kBlockChannels) {
      const __m512i x = _mm512_mullo_epi32(_mm512_load_si512(sums), left);
      const __m512i y = _mm512_mullo_epi32(_mm512_load_si512(sums + 16), right);
      _mm512_storeu_si512(c, _mm512_add_epi32(x, _mm512_loadu_si512(c)));
      _mm512_storeu_si512(c + 16, _mm512_add_epi32(y, _mm512_loadu_si512(c + 16)));
    }
  }
}

inline void clear_block(void* c, int rows) {
  for (int i = 0; i < rows * 2; ++i) {
    _mm512_storeu_si512(static_cast<std::uint8_t*>(c) + i * 64, _mm512_setzero_si512());
  }
}

// Weight tiles of step t, expanded from nibbles a little ahead of their use.
template <bool Nibbles, bool Shifted>
struct WeightSource {
  const Int8Task& task;
  alignas(64) std::int8_t ring[Nibbles ? 2 * kRing : 1][Nibbles ? kTile : 64];

  inline void expand(std::int64_t t) {
    if (t < task.k_tiles) {
      const std::uint8_t* const packed = task.b + t * (kTile / 2);
      expand_tile<Shifted>(packed, ring[t % kRing * 2]);
      expand_tile<Shifted>(packed + task.b_stride, ring[t % kRing * 2 + 1]);
      for (int i = 0; i < kTile / 2; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(packed + i + kPrefetch), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(packed + task.b_stride + i + kPrefetch),
                     _MM_HINT_T0);
      }
    }
  }
  inline void start() {
    if constexpr (Nibbles) {
      for (std::int64_t t = 0; t < kAhead; ++t) {
        expand(t);
      }
    }
    memory_is_written();
  }
  inline void step(std::int64_t t) {
    if constexpr (Nibbles) {
      expand(t + kAhead);
      memory_is_written();
    }
  }
  inline const void* tile(std::int64_t t, int block) const {
    if constexpr (Nibbles) {
      return ring[t % kRing * 2 + block];
    } else {
      return task.b + block * task.b_stride + t * kTile;
    }
  }
};

template <int RowTiles, bool Nibbles>
void int8_plain(const Int8Task& task) {
  WeightSource<Nibbles, true> weights{task, {}};
  const auto* a = reinterpret_cast<const std::uint8_t*>(task.a);
  clear_sums();
  weights.start();
  for (std::int64_t t = 0; t < task.k_tiles; ++t, a += kTile) {
    weights.step(t);
    load_activations<RowTiles>(a, task.a_stride);
    multiply<RowTiles, false>(weights.tile(t, 0), weights.tile(t, 1));
  }
  alignas(64) std::int32_t sums[kBlockRows * kBlockChannels];
  store_sums<RowTiles>(sums);
  for (int i = 0; i < task.rows * 2; ++i) {
    _mm512_storeu_si512(static_cast<std::int32_t*>(task.c) + i * 16,
                        _mm512_load_si512(sums + i * 16));
  }
}

template <int RowTiles, bool Nibbles, Accumulate Mode>
void int8_groups(const Int8Task& task) {
  WeightSource<Nibbles, false> weights{task, {}};
  const auto* a = reinterpret_cast<const std::uint8_t*>(task.a);
  alignas(64) std::int32_t sums[2][kBlockRows * kBlockChannels];
  const auto group_tiles = static_cast<int>(task.group_tiles);
  const int slice = (task.rows + group_tiles - 1) / group_tiles;
  Finished done;
  clear_block(task.c, task.rows);
  weights.start();
  std::int64_t t = 0;
  for (std::int64_t g = 0; t < task.k_tiles; ++g) {
    clear_sums();
    for (int step = 0; step < group_tiles; ++step, ++t, a += kTile) {
      weights.step(t);
      load_activations<RowTiles>(a, task.a_stride);
      multiply<RowTiles, false>(weights.tile(t, 0), weights.tile(t, 1));
      if (done.sums != nullptr) {
        const int last = (step + 1) * slice;
        scale_rows<Mode>(task, done, step * slice, last < task.rows ? last : task.rows);
      }
    }
    store_sums<RowTiles>(sums[g % 2]);
    done = {sums[g % 2], g};
  }
  scale_rows<Mode>(task, done, 0, task.rows);
}

template <int RowTiles, bool Nibbles>
void int8_modes(const Int8Task& task) {
  switch (task.accumulate) {
    case Accumulate::plain:
      return int8_plain<RowTiles, Nibbles>(task);
    case Accumulate::float_groups:
      return int8_groups<RowTiles, Nibbles, Accumulate::float_groups>(task);
    case Accumulate::integer_groups:
      return int8_groups<RowTiles, Nibbles, Accumulate::integer_groups>(task);
  }
}

void int8_block(const Int8Task& task) {
  load_shapes(task.rows);
  if (task.rows > 16) {
    task.nibbles ? int8_modes<2, true>(task) : int8_modes<2, false>(task);
  } else {
    task.nibbles ? int8_modes<1, true>(task) : int8_modes<1, false>(task);
  }
}

inline void scale_float_rows(const FloatTask& task, const float* sums, std::int64_t group) {
  const float* const scales = task.scales + group * 16;
  const __m512 left = _mm512_loadu_ps(scales);
  const __m512 right = _mm512_loadu_ps(scales + task.scale_stride);
  for (int row = 0; row < task.rows; ++row) {
    const __m512 token = _mm512_set1_ps(
        task.a_scales == nullptr ? 1.0F : task.a_scales[row * task.a_scale_stride + group]);
    float* const c = task.c + row * kBlockChannels;
    const float* const dot = sums + row * kBlockChannels;
    _mm512_storeu_ps(
        c, _mm512_fmadd_ps(_mm512_load_ps(dot), _mm512_mul_ps(left, token), _mm512_loadu_ps(c)));
    _mm512_storeu_ps(c + 16, _mm512_fmadd_ps(_mm512_load_ps(dot + 16), _mm512_mul_ps(right, token),
                                             _mm512_loadu_ps(c + 16)));
  }
}

template <int RowTiles>
void float_tiles(const FloatTask& task) {
  alignas(64) float sums[kBlockRows * kBlockChannels];
  const auto* a = static_cast<const std::uint8_t*>(task.a);
  clear_block(task.c, task.rows);
  memory_is_written();
  std::int64_t t = 0;
  for (std::int64_t g = 0; t < task.k_tiles; ++g) {
    clear_sums();
    for (std::int64_t step = 0; step < task.group_tiles; ++step, ++t, a += kTile) {
      load_activations<RowTiles>(a, task.a_stride);
      multiply<RowTiles, true>(task.b + t * 512, task.b + task.b_stride + t * 512);
    }
    store_sums<RowTiles>(sums);
    if (task.scales != nullptr) {
      scale_float_rows(task, sums, g);
      continue;
    }
    for (int i = 0; i < task.rows * 2; ++i) {
      _mm512_storeu_ps(task.c + i * 16, _mm512_add_ps(_mm512_load_ps(sums + i * 16),
                                                      _mm512_loadu_ps(task.c + i * 16)));
    }
  }
}

void float_block(const FloatTask& task) {
  load_shapes(task.rows);
  task.rows > 16 ? float_tiles<2>(task) : float_tiles<1>(task);
}

}  // namespace

const CpuKernels& amx_kernels() {
  static const CpuKernels table{CpuIsa::amx,
                                "amx",
                                ActivationLayout::tiles,
                                ActivationLayout::tiles,
                                16,
                                112,
                                kBlockRows + 1,
                                int8_block,
                                float_block,
                                expand_nibbles,
                                avx512_vnni_kernels().expand_integers,
                                avx512_vnni_kernels().expand_fp8,
                                avx512_vnni_kernels().finish};
  return table;
}

}  // namespace foretoken::kernels
