// Attention over a paged KV cache, flash-style (the score matrix never exists), with grouped
// queries.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gemm/worker_pool.h"
#include "kernels/layer/kv_cache.h"
#include "kernels/layer/prefill_kernels.h"

namespace foretoken::kernels {

struct AttentionShape {
  int heads =
      0;  // a multiple of the cache's kv_heads; query head h reads kv head h * kv_heads / heads
  float scale = 0;          // of the scores, usually 1 / sqrt(head_dim)
  std::int64_t window = 0;  // a token sees the last `window` positions, itself included; 0: all
};

// One sequence whose last `new_tokens` positions (already stored in the cache) ask.
struct SequenceView {
  BlockTable blocks;
  std::int64_t length = 0;  // positions in the cache
  std::int64_t new_tokens = 1;
};

// Queries and results are [new_tokens][heads][head_dim]; causal. Keys and values of a kv head are
// rearranged once, then every block of queries of all heads that share them passes over them. A
// worker handles a kv head, or a part of its queries where heads are fewer than workers. Runs on
// the best of the tables below.
void attention_prefill(const AttentionShape& shape, const PagedKvCache& cache,
                       const SequenceView& sequence, const Bf16* queries, Bf16* out,
                       WorkerPool& pool);

// The same on a chosen instruction set. AMX rounds softmax weights to bf16, the others compute in
// fp32: results differ in their rounding, never between runs or numbers of threads.
void attention_prefill(const AttentionShape& shape, const PagedKvCache& cache,
                       const SequenceView& sequence, const Bf16* queries, Bf16* out,
                       WorkerPool& pool, const PrefillKernels& kernels);
// Best first; asks for AMX permission when AMX is there.
std::vector<const PrefillKernels*> available_prefill_kernels(const CpuFeatures& features);

// One token per sequence: [sequences][heads][head_dim]. Bound by reading the cache: each row is
// widened once for all query heads that share it.
void attention_decode(const AttentionShape& shape, const PagedKvCache& cache,
                      std::span<const SequenceView> sequences, const Bf16* queries, Bf16* out,
                      WorkerPool& pool);

// fp64, straight from the definition, over the values that the cache holds.
std::vector<double> reference_attention(const AttentionShape& shape, const PagedKvCache& cache,
                                        const SequenceView& sequence, const Bf16* queries);

}  // namespace foretoken::kernels
