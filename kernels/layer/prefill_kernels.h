// The seam between prefill attention (attention.cpp) and one file per instruction set.
//
// One kv head is worked on at a time. Its scores are computed transposed, positions x queries, for
// 64 positions and 32 queries at a time: a query is a lane of a vector, so that the softmax needs
// no sum or maximum across lanes, and weights leave it in the order in which the next product reads
// them. Keys then are a left operand by rows, as the cache holds them, and values one by columns.
//
// As in kernels/gemm, files compiled with their own -m flags keep every function in an unnamed
// namespace and use no inline function of a shared header.
#pragma once

#include <cstdint>

#include "kernels/base/cpu_features.h"

namespace foretoken::kernels {

inline constexpr int kPrefillQueries = 32;
inline constexpr int kPrefillKeys = 64;
inline constexpr int kPrefillPage = 16;    // positions of one `keys` pointer
inline constexpr int kPrefillValues = 32;  // positions that pack_values takes at a time

// 64 positions. What no query may see only has to be there, whatever it holds.
struct PrefillKeys {
  const void* keys[kPrefillKeys / kPrefillPage] = {};
  const void* values = nullptr;
  const float* factors = nullptr;       // of the scores, [64]: scale, the key's scale and log2(e)
  const float* value_scales = nullptr;  // [64]; null: ones
};

// 32 queries and what is known of their results: sums / total, with weights 2^(score - reference).
struct PrefillQueries {
  alignas(64) float reference[kPrefillQueries];
  alignas(64) float total[kPrefillQueries];
  std::int64_t low[kPrefillQueries], high[kPrefillQueries];  // positions seen; neither ever falls
  const void* queries = nullptr;
  float* sums = nullptr;  // [dim][32]
};

struct PrefillTask {
  const PrefillKeys* keys = nullptr;  // of the whole sequence
  PrefillQueries* queries = nullptr;
  int query_blocks = 0;
  int dim = 0;                  // a multiple of 32; what head_dim lacks is zeros
  std::int64_t key_stride = 0;  // bytes from a position's key to the next
};

struct PrefillKernels {
  const char* name;
  int element_bytes;  // of packed keys, values and queries: [positions or 32 queries][dim] of these
  bool keys_in_place;  // bf16 rows of `dim` values need no packing
  // Rows of `dim` bf16 patterns; memory on 64-byte boundaries.
  void (*pack_keys)(const std::uint16_t* const* rows, int dim, void* out);     // 16 rows
  void (*pack_values)(const std::uint16_t* const* rows, int dim, void* out);   // 32 rows
  void (*pack_queries)(const std::uint16_t* const* rows, int dim, void* out);  // 32 rows
  // Adds every position that the queries see to their results.
  void (*attend)(const PrefillTask&);
  // The first `count` queries' results, head_dim values each.
  void (*store)(const PrefillQueries&, int head_dim, int count, std::uint16_t* const* rows);
};

const PrefillKernels& prefill_base();
const PrefillKernels& prefill_avx2();
const PrefillKernels& prefill_avx512();
const PrefillKernels& prefill_amx();  // needs request_amx_permission()

// References start below any score; hidden scores lie below the references.
inline constexpr float kPrefillStart = -1e20F;

}  // namespace foretoken::kernels
