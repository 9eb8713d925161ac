#include "kernels/gemm/cuda_gemm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "kernels/gemm/packed_weights.h"

namespace foretoken::kernels {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

const char* name_of(CudaGemmKind kind) {
  switch (kind) {
    case CudaGemmKind::w8a8:
      return "w8a8";
    case CudaGemmKind::w4a8:
      return "w4a8";
    case CudaGemmKind::w4a8_group_float:
      return "w4a8_group_float";
    case CudaGemmKind::w4a8_group_integer:
      return "w4a8_group_integer";
    case CudaGemmKind::w2a16:
      return "w2a16";
    case CudaGemmKind::w3a16:
      return "w3a16";
    case CudaGemmKind::w4a16:
      return "w4a16";
    case CudaGemmKind::w5a16:
      return "w5a16";
    case CudaGemmKind::w6a16:
      return "w6a16";
    case CudaGemmKind::w8a16:
      return "w8a16";
  }
  return "";
}

CudaGemmKind weight_only_kind(int bits) {
  switch (bits) {
    case 2:
      return CudaGemmKind::w2a16;
    case 3:
      return CudaGemmKind::w3a16;
    case 4:
      return CudaGemmKind::w4a16;
    case 5:
      return CudaGemmKind::w5a16;
    case 6:
      return CudaGemmKind::w6a16;
    default:
      return CudaGemmKind::w8a16;
  }
}

// Ors a weight's bits into the zeroed data.
void put(CudaGemmKind kind, std::int64_t k_tiles, std::int64_t channel, std::int64_t k, int value,
         std::uint8_t* data) {
  const std::int64_t tile_k = cuda_tile_k(kind);
  const std::int64_t tile_bytes = kCudaTileChannels * cuda_weight_row_bytes(kind);
  const std::int64_t block_bytes = 16 * cuda_weight_row_bytes(kind);
  const std::int64_t row = channel % 16, in_tile = k % tile_k;
  const std::int64_t base = (channel / kCudaTileChannels * k_tiles + k / tile_k) * tile_bytes +
                            channel % kCudaTileChannels / 16 * block_bytes;
  const auto add = [&](std::int64_t byte, int field, std::int64_t shift) {
    data[byte] = static_cast<std::uint8_t>(data[byte] | field << shift);
  };
  if (cuda_weight_only(kind)) {
    const std::int64_t step = in_tile / 16, inside = in_tile % 16;
    const std::int64_t lane = row % 8 * 4 + inside % 8 / 2, i = row / 8 + inside / 8 * 2;
    const int bits = cuda_weight_bits(kind);
    int u = value + (1 << (bits - 1));
    std::int64_t plane = base;
    for (const int p : weight_planes(bits)) {
      if (p == 0) {
        break;
      }
      const std::int64_t bit = step * p / 4 * 32 + p * (step % (4 / p) * 4 + i) + inside % 2 * 16;
      add(plane + lane * 4 * p + bit / 8, u & ((1 << p) - 1), bit % 8);
      u >>= p;
      plane += std::int64_t{128} * p;
    }
    return;
  }
  const std::int64_t inside = in_tile % 32;
  const std::int64_t lane = row % 8 * 4 + inside % 16 / 4;
  const std::int64_t at = lane * 16 + (row / 8 + inside / 16 * 2) * 4 + inside % 4;
  if (kind == CudaGemmKind::w8a8) {
    add(base + in_tile / 32 * 512 + at, value & 255, 0);
  } else {
    add(base + in_tile / 64 * 512 + at, value & 15, in_tile / 32 % 2 * 4);
  }
}

std::int64_t blocks_of(const GemmDescriptor& descriptor, int tile_tokens) {
  return (descriptor.n + kCudaTileChannels - 1) / kCudaTileChannels *
         ((descriptor.m + tile_tokens - 1) / tile_tokens);
}

bool wants_wgmma(CudaGemmKind kind, const CudaDevice& device, CudaGemmPath path) {
  const bool possible = device.hopper && hopper_has_kernel(kind);
  if (path == CudaGemmPath::wgmma && !possible) {
    throw KernelError(fmt::format(
        "no wgmma kernel for {}: {}", name_of(kind),
        hopper_has_kernel(kind) ? device.hopper_lack : "this width has mma.sync kernels only"));
  }
  return possible && path != CudaGemmPath::mma_sync;
}

int mma_sync_tile(std::int64_t m, CudaGemmKind kind) {
  return std::min(m <= 16 ? 16 : m <= 64 ? 64 : 128, cuda_largest_tile(kind));
}

// Of many tokens the tile that takes least: waves of blocks, each as long as what it brings from
// the second-level cache, which limits blocks of 128 channels (assumed: nobody has measured it).
int hopper_tile(const GemmDescriptor& descriptor, CudaGemmKind kind, const CudaDevice& device) {
  if (descriptor.m <= 64) {
    return descriptor.m <= 16 ? 16 : 64;
  }
  int best = 0;
  std::int64_t least = 0;
  for (int tile = hopper_largest_tile(kind); tile >= 64; tile /= 2) {
    const std::int64_t waves =
        (blocks_of(descriptor, tile) + device.multiprocessors - 1) / device.multiprocessors;
    const std::int64_t cost = waves * hopper_stage_bytes(kind, tile);
    if (best == 0 || cost < least) {
      best = tile;
      least = cost;
    }
  }
  return best;
}

}  // namespace

CudaGemmKind cuda_gemm_kind(const GemmFormat& format) {
  if (format.weights == WeightFormat::integer && (format.group == 0 || format.group == 128)) {
    if (format.activations == ActivationFormat::bf16) {
      return weight_only_kind(format.weight_bits);
    }
    if (format.activations == ActivationFormat::int8) {
      return format.weight_bits == 8                    ? CudaGemmKind::w8a8
             : format.scale == ScaleKind::group_integer ? CudaGemmKind::w4a8_group_integer
             : format.scale == ScaleKind::group_float   ? CudaGemmKind::w4a8_group_float
                                                        : CudaGemmKind::w4a8;
    }
  }
  throw KernelError(
      "no CUDA kernel for " + to_string(format) +
      " (w8a8, w4a8, w4a8_g128_float, w4a8_g128_integer, w2a16_g128 ... w8a16_g128; bf16 "
      "and fp8 run in cuBLASLt)");
}

CudaGemmConfig choose_cuda_gemm_config(const GemmDescriptor& descriptor, const CudaDevice& device,
                                       int least_splits, CudaGemmPath path) {
  // A split must amortise filling the pipeline and one more pass over the outputs.
  constexpr std::int64_t kFewestTiles = 4;
  CudaGemmConfig config;
  config.kind = cuda_gemm_kind(descriptor.format);
  config.wgmma = wants_wgmma(config.kind, device, path);
  config.tile_tokens = config.wgmma ? hopper_tile(descriptor, config.kind, device)
                                    : mma_sync_tile(descriptor.m, config.kind);
  const bool pairs = (descriptor.n + kCudaTileChannels - 1) / kCudaTileChannels % 2 == 0;
  config.cluster = config.wgmma && config.tile_tokens >= 128 && pairs ? 2 : 1;
  const int tile_k = cuda_tile_k(config.kind);
  const std::int64_t step = descriptor.format.grouped() ? 128 / tile_k : 1;  // tiles per group
  const std::int64_t tiles = round_up(descriptor.k, tile_k * step) / tile_k;
  const std::int64_t blocks = blocks_of(descriptor, config.tile_tokens);
  // Fill the device once over. Small tiles of mma.sync want two blocks per multiprocessor; one ring
  // of wgmma has 48 KiB and more under way, where 1 us of bandwidth is 25 KB a multiprocessor
  // (H100; H200: 36 KB).
  const std::int64_t slots =
      std::int64_t{device.multiprocessors} * (config.wgmma || config.tile_tokens >= 128 ? 1 : 2);
  const std::int64_t wanted =
      std::clamp<std::int64_t>(slots / blocks, 1, std::max<std::int64_t>(1, tiles / kFewestTiles));
  const std::int64_t splits = std::max<std::int64_t>(wanted, least_splits);
  config.tiles_per_split = round_up((tiles + splits - 1) / splits, step);
  if (config.kind == CudaGemmKind::w8a8 || config.kind == CudaGemmKind::w4a8) {
    // 128 values a tile, |product| at most 127 x 127 (or 16 x 7 x 127): stay below 2^31.
    config.tiles_per_split =
        std::min<std::int64_t>(config.tiles_per_split, 0x7fffffff / (128 * 127 * 127));
  }
  config.k_splits = static_cast<int>((tiles + config.tiles_per_split - 1) / config.tiles_per_split);
  return config;
}

std::string to_string(const CudaGemmConfig& config) {
  const int stages = config.wgmma ? hopper_stages(config.kind, config.tile_tokens)
                                  : cuda_stages(config.tile_tokens);
  const int shared = config.wgmma ? hopper_shared_bytes(config.kind, config.tile_tokens)
                                  : cuda_shared_bytes(config.kind, config.tile_tokens);
  return fmt::format("{} {} tile=128x{} {}stages={} shared={} k_splits={} tiles_per_split={}",
                     config.wgmma ? "wgmma" : "mma_sync", name_of(config.kind), config.tile_tokens,
                     config.wgmma ? fmt::format("cluster={} ", config.cluster) : "", stages, shared,
                     config.k_splits, config.tiles_per_split);
}

CudaWeightShape cuda_weight_shape(const GemmFormat& format, std::int64_t n, std::int64_t k) {
  CudaWeightShape shape;
  shape.padded_n = round_up(n, kCudaTileChannels);
  shape.k_tiles = cuda_activation_stride(format, k) / kCudaRowBytes;
  shape.data_bytes = static_cast<std::size_t>(shape.padded_n * shape.k_tiles *
                                              cuda_weight_row_bytes(cuda_gemm_kind(format)));
  const std::int64_t groups = format.grouped() ? (k + format.group - 1) / format.group : 1;
  shape.scale_count = static_cast<std::size_t>(groups * shape.padded_n);
  return shape;
}

CudaPackedWeights pack_cuda_weights(const QuantizedWeights& weights, const GemmFormat& format) {
  FT_KERNEL_CHECK(format.weight_bits == weights.bits && format.group == weights.group);
  const CudaGemmKind kind = cuda_gemm_kind(format);
  CudaPackedWeights packed;
  packed.format = format;
  packed.n = weights.n;
  packed.k = weights.k;
  const CudaWeightShape shape = cuda_weight_shape(format, weights.n, weights.k);
  packed.padded_n = shape.padded_n;
  packed.k_tiles = shape.k_tiles;
  packed.groups = weights.groups();
  packed.data.resize(shape.data_bytes);
  for (std::int64_t row = 0; row < packed.padded_n; ++row) {
    for (std::int64_t col = 0; col < packed.k_tiles * cuda_tile_k(kind); ++col) {
      const bool inside = row < weights.n && col < weights.k;
      const int value =
          inside ? weights.values[static_cast<std::size_t>(row * weights.k + col)] : 0;
      put(kind, packed.k_tiles, row, col, value, packed.data.data());
    }
  }
  const float unit =
      kind == CudaGemmKind::w4a8 || kind == CudaGemmKind::w4a8_group_float ? 1.0F / 16 : 1.0F;
  packed.scales.assign(static_cast<std::size_t>(packed.groups * packed.padded_n), 0.0F);
  IntegerScales integer;
  if (kind == CudaGemmKind::w4a8_group_integer) {
    integer = choose_integer_scales(weights);
    packed.integer_scales.assign(packed.scales.size(), 0);
    packed.inverse_alpha = std::ldexp(1.0F, -integer.alpha_log2);
    packed.least_splits = integer.k_splits;
  }
  for (std::int64_t row = 0; row < weights.n; ++row) {
    for (std::int64_t g = 0; g < packed.groups; ++g) {
      const auto from = static_cast<std::size_t>(row * packed.groups + g);
      const auto to = static_cast<std::size_t>(g * packed.padded_n + row);
      packed.scales[to] = weights.scales[from] * unit;
      if (!integer.values.empty()) {
        packed.integer_scales[to] = integer.values[from];
      }
    }
  }
  return packed;
}

std::int64_t cuda_activation_stride(const GemmFormat& format, std::int64_t k) {
  const CudaGemmKind kind = cuda_gemm_kind(format);
  const std::int64_t padded = round_up(k, format.grouped() ? 128 : cuda_tile_k(kind));
  return padded / cuda_tile_k(kind) * kCudaRowBytes;
}

}  // namespace foretoken::kernels
