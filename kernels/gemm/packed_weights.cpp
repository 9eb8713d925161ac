#include "kernels/gemm/packed_weights.h"

#include <vector>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

std::int64_t packed_tile_bytes(const GemmFormat& format) {
  if (format.integer_math()) {
    return format.weight_bits == 4 ? kTileBytes / 2 : kTileBytes;
  }
  return 64 * format.weight_bits;  // 512 values
}

// All but the bytes.
PackedWeights shape_of(const GemmFormat& format, std::int64_t n, std::int64_t k) {
  FT_KERNEL_CHECK(n > 0 && k > 0);
  check_gemm_format(format);
  PackedWeights packed;
  packed.format = format;
  packed.n = n;
  packed.k = k;
  packed.blocks = round_up(n, kPanelChannels) / kTileChannels;
  const int step = format.grouped() ? format.group : packed.tile_k();
  packed.k_tiles = round_up(k, step) / packed.tile_k();
  packed.group_tiles = format.grouped() ? format.group / packed.tile_k() : packed.k_tiles;
  packed.groups_per_split = packed.groups();
  packed.tile_bytes = packed_tile_bytes(format);
  return packed;
}

std::size_t data_bytes(const PackedWeights& packed) {
  return static_cast<std::size_t>(packed.blocks * packed.block_bytes());
}
std::size_t scale_bytes(const PackedWeights& packed) {
  return static_cast<std::size_t>(packed.blocks * packed.groups() * kTileChannels) * 4;
}

PackedWeights empty_weights(const GemmFormat& format, std::int64_t n, std::int64_t k) {
  PackedWeights packed = shape_of(format, n, k);
  packed.data = PageBuffer(data_bytes(packed));
  packed.scales = PageBuffer(scale_bytes(packed));
  return packed;
}

// Index of a channel's group in [blocks][groups][16].
std::size_t scale_index(const PackedWeights& packed, std::int64_t channel, std::int64_t group) {
  return static_cast<std::size_t>((channel / kTileChannels * packed.groups() + group) *
                                      kTileChannels +
                                  channel % kTileChannels);
}

// Calls visit(tile, channel in the tile, k in the tile, row, col) for every weight.
template <typename Visit>
void for_each_weight(PackedWeights& packed, const Visit& visit) {
  const std::int64_t tile_k = packed.tile_k();
  for (std::int64_t row = 0; row < packed.n; ++row) {
    std::uint8_t* const block = packed.data.as() + row / kTileChannels * packed.block_bytes();
    for (std::int64_t col = 0; col < packed.k; ++col) {
      visit(block + col / tile_k * packed.tile_bytes, row % kTileChannels, col % tile_k, row, col);
    }
  }
}

void pack_int8(PackedWeights& packed, const QuantizedWeights& weights) {
  for_each_weight(packed, [&](std::uint8_t* tile, std::int64_t channel, std::int64_t k,
                              std::int64_t row, std::int64_t col) {
    tile[k / 4 * 64 + channel * 4 + k % 4] =
        static_cast<std::uint8_t>(weights.values[static_cast<std::size_t>(row * weights.k + col)]);
  });
}

void pack_int4(PackedWeights& packed, const QuantizedWeights& weights) {
  for_each_weight(packed, [&](std::uint8_t* tile, std::int64_t channel, std::int64_t k,
                              std::int64_t row, std::int64_t col) {
    const std::int64_t quad = k / 4;
    const int nibble = weights.values[static_cast<std::size_t>(row * weights.k + col)] & 15;
    std::uint8_t& byte = tile[quad % 8 * 64 + channel * 4 + k % 4];
    byte = static_cast<std::uint8_t>(byte | (quad < 8 ? nibble : nibble << 4));
  });
}

void pack_planes(PackedWeights& packed, const QuantizedWeights& weights) {
  const int bits = weights.bits;
  for_each_weight(packed, [&](std::uint8_t* tile, std::int64_t channel, std::int64_t k,
                              std::int64_t row, std::int64_t col) {
    const std::int64_t pair = k / 2;
    const std::int64_t lane = 2 * channel + k % 2;
    int rest = weights.values[static_cast<std::size_t>(row * weights.k + col)] + (1 << (bits - 1));
    auto* words = reinterpret_cast<std::uint16_t*>(tile);
    for (const int width : weight_planes(bits)) {
      if (width == 0) {
        break;
      }
      const int field = rest & ((1 << width) - 1);
      std::uint16_t& word = words[pair % width * 32 + lane];
      word = static_cast<std::uint16_t>(word | field << (pair / width * width));
      words += width * 32;
      rest >>= width;
    }
  });
}

void pack_integer_scales(PackedWeights& packed, const QuantizedWeights& weights) {
  const IntegerScales integer = choose_integer_scales(weights);
  packed.alpha_log2 = integer.alpha_log2;
  packed.k_splits = integer.k_splits;
  packed.groups_per_split = integer.groups_per_split;
  packed.integer_scales = PageBuffer(packed.scales.size());
  for (std::int64_t row = 0; row < weights.n; ++row) {
    for (std::int64_t g = 0; g < weights.groups(); ++g) {
      packed.integer_scales.as<std::int32_t>()[scale_index(packed, row, g)] =
          integer.values[static_cast<std::size_t>(row * weights.groups() + g)];
    }
  }
}

}  // namespace

PackedWeights pack_weights(const QuantizedWeights& weights, const GemmFormat& format) {
  FT_KERNEL_CHECK(format.weights == WeightFormat::integer && format.weight_bits == weights.bits &&
                  format.group == weights.group);
  PackedWeights packed = empty_weights(format, weights.n, weights.k);
  if (!format.integer_math()) {
    pack_planes(packed, weights);
  } else if (weights.bits == 4) {
    pack_int4(packed, weights);
  } else {
    pack_int8(packed, weights);
  }
  for (std::int64_t row = 0; row < weights.n; ++row) {
    for (std::int64_t g = 0; g < weights.groups(); ++g) {
      packed.scales.as<float>()[scale_index(packed, row, g)] =
          weights.scales[static_cast<std::size_t>(row * weights.groups() + g)];
    }
  }
  if (format.scale == ScaleKind::group_integer) {
    pack_integer_scales(packed, weights);
  }
  return packed;
}

PackedWeights pack_bf16_weights(std::span<const Bf16> weights, std::int64_t n, std::int64_t k) {
  FT_KERNEL_CHECK(static_cast<std::int64_t>(weights.size()) == n * k);
  PackedWeights packed = empty_weights(GemmFormat{}, n, k);
  for_each_weight(packed, [&](std::uint8_t* tile, std::int64_t channel, std::int64_t in_tile,
                              std::int64_t row, std::int64_t col) {
    reinterpret_cast<std::uint16_t*>(tile)[in_tile / 2 * 32 + channel * 2 + in_tile % 2] =
        weights[static_cast<std::size_t>(row * k + col)].bits;
  });
  for (std::int64_t i = 0; i < packed.blocks * kTileChannels; ++i) {
    packed.scales.as<float>()[i] = 1.0F;
  }
  return packed;
}

PackedWeights pack_fp8_weights(const Fp8Matrix& weights) {
  const int group = weights.scale == ScaleKind::block_128 ? 128 : 0;
  const GemmFormat format{WeightFormat::fp8_e4m3, 8, ActivationFormat::fp8_e4m3, weights.scale,
                          group};
  PackedWeights packed = empty_weights(format, weights.rows, weights.k);
  for_each_weight(packed, [&](std::uint8_t* tile, std::int64_t channel, std::int64_t in_tile,
                              std::int64_t row, std::int64_t col) {
    tile[in_tile / 2 * 32 + channel * 2 + in_tile % 2] =
        weights.values[static_cast<std::size_t>(row * weights.k + col)].bits;
  });
  for (std::int64_t row = 0; row < weights.rows; ++row) {
    for (std::int64_t g = 0; g < packed.groups(); ++g) {
      packed.scales.as<float>()[scale_index(packed, row, g)] = weights.scale_at(row, g * 128);
    }
  }
  return packed;
}

PackedWeights pack_from_fp32(std::span<const float> weights, std::int64_t n, std::int64_t k,
                             const GemmFormat& format, bool search_clipping) {
  switch (format.weights) {
    case WeightFormat::bf16: {
      std::vector<Bf16> rounded;
      rounded.reserve(weights.size());
      for (const float value : weights) {
        rounded.push_back(to_bf16(value));
      }
      return pack_bf16_weights(rounded, n, k);
    }
    case WeightFormat::fp8_e4m3:
      return pack_fp8_weights(quantize_fp8(weights, n, k, format.scale, 128));
    case WeightFormat::integer:
      break;
  }
  return pack_weights(
      quantize_weights(weights, n, k, {format.weight_bits, format.group, search_clipping}), format);
}

std::size_t arbitrary_weight_bytes(const GemmFormat& format, std::int64_t n, std::int64_t k) {
  const PackedWeights packed = shape_of(format, n, k);
  return data_bytes(packed) + scale_bytes(packed);
}

PackedWeights arbitrary_weights(const GemmFormat& format, std::int64_t n, std::int64_t k,
                                std::uint8_t* memory) {
  PackedWeights packed = shape_of(format, n, k);
  packed.data = PageBuffer::borrow(memory, data_bytes(packed));
  PageBuffer& scales =
      format.scale == ScaleKind::group_integer ? packed.integer_scales : packed.scales;
  scales = PageBuffer::borrow(memory + packed.data.size(), scale_bytes(packed));
  return packed;
}

}  // namespace foretoken::kernels
