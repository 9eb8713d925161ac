// The seam between the portable launch code (cpu_gemm.cpp) and one file per instruction set. A file
// offers one table of functions; each function computes one block of at most 32 tokens x 32
// channels.
//
// Files compiled with their own -m flags keep every function in an unnamed namespace and use no
// inline function of a shared header: the linker would be free to pick the AVX-512 copy for
// everyone.
#pragma once

#include <cstdint>

namespace foretoken::kernels {

inline constexpr int kBlockRows = 32;
inline constexpr int kBlockChannels = 32;

enum class CpuIsa : std::uint8_t { scalar, avx2, avx512_vnni, amx };

enum class Accumulate : std::uint8_t {
  plain,           // c is int32: the dot product, times CpuKernels::nibble_unit for 4-bit weights
  float_groups,    // c is float: fma(float(dot_g), scale_g, c) over the groups in order
  integer_groups,  // c is int32: sum of dot_g * scale_g
};

// How activations must be laid out. `tiles`: [16 rows][64 bytes] tiles along k, row blocks one
// after the other, both padded with zeros. `rows`: row-major, k padded with zeros; 16-bit ones
// widened to fp32.
enum class ActivationLayout : std::uint8_t { rows, tiles };

struct Int8Task {
  const std::int8_t* a = nullptr;
  std::int64_t a_stride = 0;  // bytes to the next row (rows) or the next 16 rows (tiles)
  // Sum of a row's activations per group, or over all of k when ungrouped; rows layout only.
  // Kernels that need unsigned weights compute with w + offset and take offset * sum off again.
  const std::int32_t* a_sums = nullptr;
  std::int64_t a_sum_stride = 0;
  int rows = 0;
  const std::uint8_t* b = nullptr;  // packed weights of the first 16 channels
  std::int64_t b_stride = 0;        // bytes to the next 16 channels
  bool nibbles = false;             // 4-bit weights, else 8-bit
  std::int64_t k_tiles = 0;
  std::int64_t group_tiles = 0;
  Accumulate accumulate = Accumulate::plain;
  const void* scales = nullptr;   // float or int32 [group][16] of the first 16 channels
  std::int64_t scale_stride = 0;  // elements to the next 16 channels
  void* c = nullptr;              // [rows][32], overwritten
};

struct FloatTask {
  const void* a = nullptr;    // bf16 tiles or fp32 rows
  std::int64_t a_stride = 0;  // bytes
  int rows = 0;
  const std::uint16_t* b = nullptr;  // bf16 tiles of the first 16 channels
  std::int64_t b_stride = 0;         // elements to the next 16 channels
  std::int64_t k_tiles = 0;
  std::int64_t group_tiles = 0;
  // When set: c = fma(dot_g, scales[g] * a_scales[row][g], c); when null: c = dot.
  const float* scales = nullptr;
  std::int64_t scale_stride = 0;
  const float* a_scales = nullptr;  // null: ones
  std::int64_t a_scale_stride = 0;
  float* c = nullptr;  // [rows][32], overwritten
};

// Expands `tiles` packed tiles of 16 channels.
struct ExpandTask {
  const std::uint8_t* packed = nullptr;
  std::int64_t tiles = 0;
  int bits = 0;  // of integer weights
  const float* scales =
      nullptr;  // [group][16], folded into the weights; null: integers as they are
  std::int64_t group_tiles = 0;
  void* out = nullptr;
};

// out = float(c) * channel scale * token scale, in this order, rounded to fp32 each time, then to
// bf16 if asked. Missing scales are ones.
struct FinishTask {
  const void* c = nullptr;  // [rows][32] int32 or float
  bool is_float = false;
  int rows = 0;
  int channels = 0;                       // 1..32 are written
  const float* channel_scales = nullptr;  // [32], never null
  const float* token_scales = nullptr;    // [rows] or null
  void* out = nullptr;
  std::int64_t out_stride = 0;  // elements
  bool bf16 = false;
};

inline constexpr int kNeverExpand = 1 << 30;

struct CpuKernels {
  CpuIsa isa;
  const char* name;
  ActivationLayout int8_layout;
  ActivationLayout float_layout;
  // 4-bit weights enter the plain dot product as 16 w in AMX (FastGEMM's trick: shift and mask, no
  // subtraction) and as w elsewhere.
  int nibble_unit;
  // Largest contribution of one activation of 1 to a partial sum, on average over a tile of 4-bit
  // weights: bounds the k that one 32-bit sum can hold.
  int nibble_magnitude;
  // Rows from which expanding 4-bit weights once into scratch beats expanding them in the kernel.
  int expand_from_rows;
  void (*int8_block)(const Int8Task&);
  void (*float_block)(const FloatTask&);
  // 4-bit tiles to 8-bit ones: 16 w (`shifted`) or w.
  void (*expand_nibbles)(const ExpandTask&, bool shifted);
  void (*expand_integers)(
      const ExpandTask&);  // B-bit planes to bf16, scale folded in, rounded to nearest
  void (*expand_fp8)(const ExpandTask&);  // e4m3 to bf16, exact
  void (*finish)(const FinishTask&);
};

// Tables exist on x86-64 only for what the compiler can make; cpu_gemm.cpp checks the processor.
const CpuKernels& scalar_kernels();
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_vnni_kernels();
const CpuKernels& amx_kernels();

}  // namespace foretoken::kernels
