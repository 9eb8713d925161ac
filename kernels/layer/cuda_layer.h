// The layer kernels on a CUDA device. Pointers are device pointers, `stream` is a cudaStream_t,
// values are bf16 unless said otherwise. Host code; defined where the toolkit is present.
#pragma once

#include <cstdint>

#include "kernels/layer/attention_body.h"

namespace foretoken::kernels {

// `most_new_tokens` and `tokens` (in all) size the grid; head_dim is 64 or 128 (KernelError
// otherwise). args.partial must hold tokens * heads * key_splits * (head_dim + 2) floats when
// key_splits > 1.
void launch_cuda_attention(const CudaAttentionArgs& args, int head_dim, std::int64_t sequences,
                           std::int64_t most_new_tokens, std::int64_t tokens, void* stream);

// How many blocks should share the keys so that `multiprocessors` are busy.
constexpr int attention_key_splits(std::int64_t sequences, int kv_heads, std::int64_t rows_per_head,
                                   std::int64_t longest, int multiprocessors) {
  const std::int64_t blocks =
      sequences * kv_heads * ((rows_per_head + kAttentionRows - 1) / kAttentionRows);
  const std::int64_t tiles = (longest + kAttentionKeys - 1) / kAttentionKeys;
  const std::int64_t wanted = std::int64_t{2} * multiprocessors / (blocks > 0 ? blocks : 1);
  const std::int64_t most = tiles / 4;  // fewer tiles do not amortise the second kernel
  const std::int64_t splits = wanted < most ? wanted : most;
  return splits > 1 ? static_cast<int>(splits) : 1;
}

void launch_cuda_rms_norm(const void* x, const void* weight, std::int64_t rows, std::int64_t width,
                          float eps, void* out, void* stream);
void launch_cuda_add(void* x, const void* y, std::int64_t count, void* stream);
void launch_cuda_silu_multiply(const void* gate_up, std::int64_t rows, std::int64_t width,
                               void* out, void* stream);
// cosine and sine are fp32 [positions][head_dim / 2]; positions int64 [tokens].
void launch_cuda_rotary(void* x, std::int64_t stride, std::int64_t tokens, int heads, int head_dim,
                        const float* cosine, const float* sine, const std::int64_t* positions,
                        void* stream);
void launch_cuda_embed(const void* table, std::int64_t width, const std::int32_t* ids,
                       std::int64_t tokens, void* out, void* stream);
// fp32 logits [rows][vocabulary]; first index of the largest.
void launch_cuda_argmax(const float* logits, std::int64_t rows, std::int64_t vocabulary,
                        std::int32_t* best, void* stream);

}  // namespace foretoken::kernels
