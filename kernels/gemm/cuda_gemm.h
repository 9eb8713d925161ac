// The CUDA side of descriptor -> configuration -> launch. Everything here is host code and builds
// without the toolkit: which tile, how k is split, how much shared memory, and the offline weight
// layout.
//
// Weights are the left operand of mma.sync (16 channels x k), tokens the right one (8 columns), so
// that few tokens waste little. A thread block computes 128 channels x `tile_tokens` tokens; its
// weights for one step of k are one contiguous piece, in the order in which lanes load fragments,
// 16 bytes a lane:
//
//   [tile of 128 channels][k tile][block of 16 channels, 8][chunk][lane 32][16 B]
//
//   w8a8   k tile 128, 4 chunks of k 32: register i, byte j of a chunk is
//          w[lane / 4 + 8 (i & 1)][4 (lane % 4) + 16 (i >> 1) + j]
//   w4a8   k tile 128, 2 chunks of k 64: word i byte j holds that element of the first k 32 in its
//   low
//          nibble and of the second in its high nibble, two's complement; (word << 4) and word,
//          both masked with 0xf0f0f0f0, are 16 w (FastGEMM)
//   wBa16  k tile 64, u = w + 2^(B-1) split into the planes of packed_weights.h, each
//          [lane 32][p words]; field f of p bits of a word, and the one 16 bits above it for the
//          next k, is [lane / 4 + 8 (i & 1)][16 s + 2 (lane % 4) + 8 (i >> 1)] of k step s = f / 4
//          + word * 4 / p and register i = f % 4 (4-bit planes: word s, field i)
//
// n is padded to 128 and k to whole tiles and groups with zeros.
//
// wgmma (Hopper, hopper_gemm_body.h) reads the same bytes: its register operand is four of those
// fragments, one a warp, so that 4 of a tile's 8 blocks of 16 channels are one warpgroup's 64 rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gemm/descriptor.h"
#include "kernels/gemm/quantize.h"

namespace foretoken::kernels {

enum class CudaGemmKind : std::uint8_t {
  w8a8,
  w4a8,
  w4a8_group_float,
  w4a8_group_integer,
  w2a16,
  w3a16,
  w4a16,
  w5a16,
  w6a16,
  w8a16
};

inline constexpr int kCudaTileChannels = 128;
inline constexpr int kCudaRowBytes = 128;  // activation bytes of one k tile

constexpr int cuda_weight_bits(CudaGemmKind kind) {
  switch (kind) {
    case CudaGemmKind::w2a16:
      return 2;
    case CudaGemmKind::w3a16:
      return 3;
    case CudaGemmKind::w5a16:
      return 5;
    case CudaGemmKind::w6a16:
      return 6;
    case CudaGemmKind::w8a8:
    case CudaGemmKind::w8a16:
      return 8;
    default:
      return 4;
  }
}
// Weights of bf16 activations.
constexpr bool cuda_weight_only(CudaGemmKind kind) { return kind >= CudaGemmKind::w2a16; }
constexpr int cuda_tile_k(CudaGemmKind kind) { return cuda_weight_only(kind) ? 64 : 128; }
// Bytes of one channel's weights in a k tile.
constexpr int cuda_weight_row_bytes(CudaGemmKind kind) {
  return cuda_tile_k(kind) * cuda_weight_bits(kind) / 8;
}
// The widths beside w4a16 are for few tokens, where the weights' bytes count: two tile sizes.
constexpr int cuda_largest_tile(CudaGemmKind kind) {
  return cuda_weight_only(kind) && kind != CudaGemmKind::w4a16 ? 64 : 128;
}
constexpr int cuda_stages(int tile_tokens) { return tile_tokens >= 128 ? 3 : 4; }
constexpr int cuda_threads(int tile_tokens) { return tile_tokens >= 64 ? 256 : 128; }
constexpr int cuda_shared_bytes(CudaGemmKind kind, int tile_tokens) {
  const int stages = cuda_stages(tile_tokens) * (tile_tokens * kCudaRowBytes +
                                                 kCudaTileChannels * cuda_weight_row_bytes(kind));
  const int result = tile_tokens * (kCudaTileChannels + 4) * 4;  // the epilogue's transposition
  return stages > result ? stages : result;
}

// The wgmma kernels: two warpgroups that multiply, 64 channels each, and one of which a single
// thread copies and the registers go to the others.
constexpr bool hopper_has_kernel(CudaGemmKind kind) {
  return !cuda_weight_only(kind) || kind == CudaGemmKind::w4a16;
}
// Sums take half a register a token and thread; those of a group and the scaled ones twice that.
constexpr int hopper_largest_tile(CudaGemmKind kind) {
  return kind == CudaGemmKind::w8a8 || kind == CudaGemmKind::w4a8 ? 256 : 128;
}
inline constexpr int kHopperConsumers = 256;
inline constexpr int kHopperThreads = kHopperConsumers + 128;
// Tiles of 64 tokens and less leave half of a multiprocessor to another block.
constexpr int hopper_blocks_per_multiprocessor(int tile_tokens) {
  return tile_tokens <= 64 ? 2 : 1;
}
constexpr int hopper_stage_bytes(CudaGemmKind kind, int tile_tokens) {
  return kCudaTileChannels * cuda_weight_row_bytes(kind) + tile_tokens * kCudaRowBytes;
}
constexpr int hopper_stages(CudaGemmKind kind, int tile_tokens) {
  const int fit = 208 * 1024 / hopper_blocks_per_multiprocessor(tile_tokens) /
                  hopper_stage_bytes(kind, tile_tokens);
  return fit < 8 ? fit : 8;
}
// Behind the stages: a row of scales and two barriers for each.
constexpr int hopper_shared_bytes(CudaGemmKind kind, int tile_tokens) {
  return hopper_stages(kind, tile_tokens) *
         (hopper_stage_bytes(kind, tile_tokens) + kCudaTileChannels * 4 + 16);
}

struct CudaDevice {
  int multiprocessors = 108;
  int capability = 80;  // 10 x major + minor
  // Capability 9.0, a program with code for sm_90a and a driver that makes tensor maps.
  bool hopper = false;
  std::string hopper_lack = {};  // what is missing, in words
};

enum class CudaGemmPath : std::uint8_t { automatic, mma_sync, wgmma };

struct CudaGemmConfig {
  CudaGemmKind kind = CudaGemmKind::w8a8;
  bool wgmma = false;
  // 16, 64 or 128, at most cuda_largest_tile; with wgmma 256 too, at most hopper_largest_tile.
  int tile_tokens = 128;
  // Blocks that share the copies of their tokens, with wgmma: 2, or 1 where n does not give pairs
  // or the tokens are few.
  int cluster = 1;
  int k_splits = 1;  // > 1: partial sums in a workspace, added in order by a second kernel
  std::int64_t tiles_per_split = 0;
};

// Throws KernelError for a format without a CUDA kernel of ours.
CudaGemmKind cuda_gemm_kind(const GemmFormat& format);
// `least_splits` as the integer scales demand (IntegerScales::k_splits). Automatic: wgmma where the
// device and the kind have it. Throws KernelError when wgmma is asked for and there is none.
CudaGemmConfig choose_cuda_gemm_config(const GemmDescriptor& descriptor, const CudaDevice& device,
                                       int least_splits = 1,
                                       CudaGemmPath path = CudaGemmPath::automatic);
std::string to_string(const CudaGemmConfig& config);

// Host copy of what a GPU needs; upload as it stands.
struct CudaPackedWeights {
  GemmFormat format;
  std::int64_t n = 0, k = 0;
  std::int64_t padded_n = 0, k_tiles = 0, groups = 1;
  std::vector<std::uint8_t> data;
  // [groups][padded_n], times 1/16 for 4-bit weights with int8 activations.
  std::vector<float> scales;
  std::vector<std::int32_t> integer_scales;  // [groups][padded_n]
  float inverse_alpha = 1;
  int least_splits = 1;
};
CudaPackedWeights pack_cuda_weights(const QuantizedWeights& weights, const GemmFormat& format);

// Without the bytes: what timing on somebody's memory must know. `data_bytes` and `scale_count`
// (floats, or integers for group_integer) are what packed weights take.
struct CudaWeightShape {
  std::int64_t padded_n = 0, k_tiles = 0;
  std::size_t data_bytes = 0, scale_count = 0;
};
CudaWeightShape cuda_weight_shape(const GemmFormat& format, std::int64_t n, std::int64_t k);

// Bytes per token that the kernels read: k padded to whole k tiles, with zeros.
std::int64_t cuda_activation_stride(const GemmFormat& format, std::int64_t k);

// Everything a kernel needs, in device memory.
struct CudaGemmArgs {
  const void* activations = nullptr;  // int8 or bf16, [m][activation_stride bytes], 16-byte aligned
  std::int64_t activation_stride = 0;
  const std::uint8_t* weights = nullptr;
  const float* scales = nullptr;
  const std::int32_t* integer_scales = nullptr;
  const float* token_scales = nullptr;  // [m], int8 activations only
  float inverse_alpha = 1;
  void* out = nullptr;        // [m][n] fp32 or bf16
  void* workspace = nullptr;  // [k_splits][m][n] 32-bit, when k_splits > 1
  bool bf16_out = false;
  std::int64_t m = 0, n = 0, padded_n = 0, k_tiles = 0;
  std::int64_t tiles_per_split = 0;
  int k_splits = 1;
};

}  // namespace foretoken::kernels
