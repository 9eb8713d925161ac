#include "kernels/base/cuda_check.h"
#include "kernels/gemm/cuda_lane.cuh"
#include "kernels/layer/cuda_layer.h"

namespace foretoken::kernels {
namespace {

constexpr int kThreads = 256;

// Blocks to a multiprocessor that the registers of the running sums allow without spills.
template <int Dim>
__global__ void __launch_bounds__(kAttentionThreads, Dim == 128 ? 2 : 3)
    attention(const CudaAttentionArgs args) {
  extern __shared__ __align__(128) std::uint8_t shared[];
  CudaLane lane(shared);
  AttentionBlock<Dim, CudaLane>(lane, args).run();
}

template <int Dim>
__global__ void combine_splits(const CudaAttentionArgs args) {
  AttentionBlock<Dim, CudaLane>::combine(args, blockIdx.x, static_cast<int>(threadIdx.x));
}

template <int Dim>
void launch_attention(const CudaAttentionArgs& args, std::int64_t sequences,
                      std::int64_t most_new_tokens, std::int64_t tokens, cudaStream_t stream) {
  constexpr int kShared = attention_shared_bytes(Dim);
  FT_CUDA_CHECK(
      cudaFuncSetAttribute(attention<Dim>, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  const std::int64_t rows = most_new_tokens * (args.heads / args.kv_heads);
  const dim3 grid(
      static_cast<unsigned>((rows + kAttentionRows - 1) / kAttentionRows * args.key_splits),
      static_cast<unsigned>(args.kv_heads), static_cast<unsigned>(sequences));
  attention<Dim><<<grid, kAttentionThreads, kShared, stream>>>(args);
  FT_CUDA_CHECK(cudaGetLastError());
  if (args.key_splits > 1) {
    combine_splits<Dim><<<static_cast<unsigned>(tokens * args.heads), Dim, 0, stream>>>(args);
    FT_CUDA_CHECK(cudaGetLastError());
  }
}

__device__ float widen(std::uint16_t bits) {
  return __uint_as_float(static_cast<std::uint32_t>(bits) << 16);
}

// Sum over the block, known to all threads.
__device__ float block_sum(float value) {
  __shared__ float sums[kThreads / 32];
  for (int other = 16; other > 0; other /= 2) {
    value += __shfl_xor_sync(0xffffffffU, value, other);
  }
  if (threadIdx.x % 32 == 0) {
    sums[threadIdx.x / 32] = value;
  }
  __syncthreads();
  value = 0;
  for (const float sum : sums) {
    value += sum;
  }
  return value;
}

__global__ void rms_norm(const std::uint16_t* x, const std::uint16_t* weight, std::int64_t width,
                         float eps, std::uint16_t* out) {
  const std::int64_t row = blockIdx.x * width;
  float sum = 0;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    const float value = widen(x[row + i]);
    sum += value * value;
  }
  const float factor = 1.0F / sqrtf(block_sum(sum) / static_cast<float>(width) + eps);
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    out[row + i] = bf16_bits(widen(x[row + i]) * factor * widen(weight[i]));
  }
}

__global__ void add(std::uint16_t* x, const std::uint16_t* y, std::int64_t count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) {
    x[i] = bf16_bits(widen(x[i]) + widen(y[i]));
  }
}

__global__ void silu_multiply(const std::uint16_t* gate_up, std::int64_t width,
                              std::uint16_t* out) {
  const std::uint16_t* const gate = gate_up + 2 * blockIdx.x * width;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    const float g = widen(gate[i]);
    out[blockIdx.x * width + i] = bf16_bits(g / (1.0F + expf(-g)) * widen(gate[width + i]));
  }
}

__global__ void rotary(std::uint16_t* x, std::int64_t stride, int heads, int half,
                       const float* cosine, const float* sine, const std::int64_t* positions) {
  const std::int64_t at = positions[blockIdx.x] * half;
  for (int pair = threadIdx.x; pair < heads * half; pair += kThreads) {
    const int i = pair % half;
    std::uint16_t* const low = x + blockIdx.x * stride + pair / half * 2 * half + i;
    const float a = widen(low[0]), b = widen(low[half]);
    low[0] = bf16_bits(a * cosine[at + i] - b * sine[at + i]);
    low[half] = bf16_bits(b * cosine[at + i] + a * sine[at + i]);
  }
}

__global__ void embed(const std::uint16_t* table, std::int64_t width, const std::int32_t* ids,
                      std::uint16_t* out) {
  const std::uint16_t* const row = table + ids[blockIdx.x] * width;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    out[blockIdx.x * width + i] = row[i];
  }
}

__global__ void argmax(const float* logits, std::int64_t vocabulary, std::int32_t* best) {
  __shared__ float values[kThreads];
  __shared__ std::int64_t indices[kThreads];
  const float* const row = logits + blockIdx.x * vocabulary;
  float value = -INFINITY;
  std::int64_t index = vocabulary;
  for (std::int64_t i = threadIdx.x; i < vocabulary; i += kThreads) {
    if (row[i] > value) {
      value = row[i];
      index = i;
    }
  }
  values[threadIdx.x] = value;
  indices[threadIdx.x] = index;
  __syncthreads();
  for (unsigned step = kThreads / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) {
      const unsigned other = threadIdx.x + step;
      if (values[other] > values[threadIdx.x] ||
          (values[other] == values[threadIdx.x] && indices[other] < indices[threadIdx.x])) {
        values[threadIdx.x] = values[other];
        indices[threadIdx.x] = indices[other];
      }
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    best[blockIdx.x] = static_cast<std::int32_t>(indices[0]);
  }
}

const std::uint16_t* bits(const void* x) { return static_cast<const std::uint16_t*>(x); }
std::uint16_t* bits(void* x) { return static_cast<std::uint16_t*>(x); }
cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace

void launch_cuda_attention(const CudaAttentionArgs& args, int head_dim, std::int64_t sequences,
                           std::int64_t most_new_tokens, std::int64_t tokens, void* stream) {
  if (head_dim == 128) {
    return launch_attention<128>(args, sequences, most_new_tokens, tokens, as_stream(stream));
  }
  if (head_dim == 64) {
    return launch_attention<64>(args, sequences, most_new_tokens, tokens, as_stream(stream));
  }
  throw KernelError("CUDA attention: head_dim must be 64 or 128, not " + std::to_string(head_dim));
}

void launch_cuda_rms_norm(const void* x, const void* weight, std::int64_t rows, std::int64_t width,
                          float eps, void* out, void* stream) {
  rms_norm<<<static_cast<unsigned>(rows), kThreads, 0, as_stream(stream)>>>(bits(x), bits(weight),
                                                                            width, eps, bits(out));
  FT_CUDA_CHECK(cudaGetLastError());
}

void launch_cuda_add(void* x, const void* y, std::int64_t count, void* stream) {
  add<<<static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, as_stream(stream)>>>(
      bits(x), bits(y), count);
  FT_CUDA_CHECK(cudaGetLastError());
}

void launch_cuda_silu_multiply(const void* gate_up, std::int64_t rows, std::int64_t width,
                               void* out, void* stream) {
  silu_multiply<<<static_cast<unsigned>(rows), kThreads, 0, as_stream(stream)>>>(bits(gate_up),
                                                                                 width, bits(out));
  FT_CUDA_CHECK(cudaGetLastError());
}

void launch_cuda_rotary(void* x, std::int64_t stride, std::int64_t tokens, int heads, int head_dim,
                        const float* cosine, const float* sine, const std::int64_t* positions,
                        void* stream) {
  rotary<<<static_cast<unsigned>(tokens), kThreads, 0, as_stream(stream)>>>(
      bits(x), stride, heads, head_dim / 2, cosine, sine, positions);
  FT_CUDA_CHECK(cudaGetLastError());
}

void launch_cuda_embed(const void* table, std::int64_t width, const std::int32_t* ids,
                       std::int64_t tokens, void* out, void* stream) {
  embed<<<static_cast<unsigned>(tokens), kThreads, 0, as_stream(stream)>>>(bits(table), width, ids,
                                                                           bits(out));
  FT_CUDA_CHECK(cudaGetLastError());
}

void launch_cuda_argmax(const float* logits, std::int64_t rows, std::int64_t vocabulary,
                        std::int32_t* best, void* stream) {
  argmax<<<static_cast<unsigned>(rows), kThreads, 0, as_stream(stream)>>>(logits, vocabulary, best);
  FT_CUDA_CHECK(cudaGetLastError());
}

}  // namespace foretoken::kernels
