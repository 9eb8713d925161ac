// The readable scalar version: the meaning of every wire format. It is built without automatic
// vectorisation, so that "ten times the scalar reference" means what it says.
#include <cstring>

#include "kernels/base/float_types.h"
#include "kernels/codec/group_rule.h"
#include "kernels/codec/tile_kernels.h"

namespace foretoken::kernels {
namespace {

struct Spikes {
  int low = 0;   // first position of the minimum
  int high = 0;  // last position of the maximum: never the same as `low`
};

Spikes find_spikes(const float* x, int group) {
  Spikes s;
  for (int i = 1; i < group; ++i) {
    if (x[i] < x[s.low]) {
      s.low = i;
    }
    if (x[i] >= x[s.high]) {
      s.high = i;
    }
  }
  return s;
}

bool all_finite(const float* x, int group) {
  for (int i = 0; i < group; ++i) {
    if (!is_finite(x[i])) {
      return false;
    }
  }
  return true;
}

// The range of the values that are quantised: all of them, or all but the two spikes.
GroupRange find_range(const float* x, int group, bool spike, Spikes spikes) {
  GroupRange range{bits_float(0x7f800000U), bits_float(0xff800000U), all_finite(x, group)};
  for (int i = 0; i < group; ++i) {
    if (!spike || (i != spikes.low && i != spikes.high)) {
      range.low = least(x[i], range.low);
      range.high = greatest(x[i], range.high);
    }
  }
  return range;
}

// Adding 1.5 * 2^23 leaves no fraction bits: the addition itself rounds to nearest even.
int round_to_int(float value) {
  return static_cast<int>(float_bits(value + 0x1.8p23F)) - 0x4b400000;
}

std::uint8_t quantise_value(float x, const GroupRule& rule) {
  float q = (x - rule.subtract) * rule.inverse;
  q = q < rule.code_max ? q : rule.code_max;
  q = q > rule.code_min ? q : rule.code_min;
  return static_cast<std::uint8_t>(round_to_int(q) + rule.bias);
}

void write_spikes(const float* x, Spikes spikes, bool poisoned, std::uint8_t* values,
                  std::uint8_t* positions) {
  const std::uint16_t pair[2] = {poisoned ? kBf16Nan : saturated_bf16(x[spikes.low]),
                                 poisoned ? kBf16Nan : saturated_bf16(x[spikes.high])};
  std::memcpy(values, pair, sizeof(pair));
  positions[0] = static_cast<std::uint8_t>(spikes.low);
  positions[1] = static_cast<std::uint8_t>(spikes.high);
}

void load(ValueType type, const void* in, std::size_t n, float* out) {
  const auto* bytes = static_cast<const std::uint8_t*>(in);
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes + 2 * i, 2);
    out[i] = type == ValueType::bf16 ? to_float(Bf16{bits}) : to_float(Fp16{bits});
  }
}

void store(ValueType type, const float* in, std::size_t n, void* out) {
  auto* bytes = static_cast<std::uint8_t*>(out);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t bits = type == ValueType::bf16 ? to_bf16(in[i]).bits : to_fp16(in[i]).bits;
    std::memcpy(bytes + 2 * i, &bits, 2);
  }
}

void quantise_fp32(const WireFormat& format, const BlockLayout& layout, const float* values,
                   std::uint8_t* codes, std::uint8_t* block) {
  const int group = format.group;
  for (std::size_t g = 0; g < layout.groups; ++g) {
    const float* x = values + g * group;
    std::uint8_t* c = codes + g * group;
    const Spikes spikes = format.spike ? find_spikes(x, group) : Spikes{};
    const GroupRange range = find_range(x, group, format.spike, spikes);
    const GroupRule rule = group_rule(format.scale, format.bits, range);
    const std::size_t size = scale_bytes(format);
    std::memcpy(block + layout.scales + g * size, &rule.metadata, size);
    if (format.spike) {
      const Spikes sent = range.finite ? spikes : Spikes{0, group - 1};
      write_spikes(x, sent, rule.poisoned, block + layout.spikes + 4 * g,
                   block + layout.positions + 2 * g);
    }
    for (int i = 0; i < group; ++i) {
      c[i] = format.kind == WireFormat::Kind::fp8
                 ? (rule.poisoned ? std::uint8_t{0} : to_fp8_e4m3(x[i] * rule.inverse).bits)
                 : quantise_value(x[i], rule);
    }
    if (format.spike) {
      c[spikes.low] = c[spikes.high] = 0;
    }
  }
}

void quantise_tile(const WireFormat& format, const BlockLayout& layout, ConstValues values,
                   std::uint8_t* codes, std::uint8_t* block) {
  if (values.type == ValueType::fp32) {
    quantise_fp32(format, layout, static_cast<const float*>(values.data), codes, block);
    return;
  }
  static thread_local float wide[kBlockValues];  // of a thread: clearing it would cost time
  load(values.type, values.data, layout.values, wide);
  quantise_fp32(format, layout, wide, codes, block);
}

void quantise(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
              ConstValues values) {
  for (std::size_t tile = 0; tile < run.tiles; ++tile) {
    quantise_tile(format, layout, values_of(values, layout, tile), run.codes(tile),
                  run.block(tile));
  }
}

void dequantise_fp32(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                     const std::uint8_t* block, float* out, bool accumulate) {
  const int group = format.group;
  for (std::size_t g = 0; g < layout.groups; ++g) {
    std::uint32_t metadata = 0;
    std::memcpy(&metadata, block + layout.scales + g * scale_bytes(format), scale_bytes(format));
    const GroupScale s = group_scale(format.scale, format.bits, metadata);
    const std::uint8_t* c = codes + g * group;
    float x[128];
    for (int i = 0; i < group; ++i) {
      x[i] = format.kind == WireFormat::Kind::fp8 ? to_float(Fp8E4m3{c[i]}) * s.scale
                                                  : static_cast<float>(c[i]) * s.scale + s.offset;
    }
    if (format.spike) {
      Bf16 pair[2];
      std::memcpy(pair, block + layout.spikes + 4 * g, sizeof(pair));
      const int last = group - 1;  // a broken message must not lead out of the group
      x[block[layout.positions + 2 * g] & last] = to_float(pair[0]);
      x[block[layout.positions + 2 * g + 1] & last] = to_float(pair[1]);
    }
    for (int i = 0; i < group; ++i) {
      out[g * group + i] = accumulate ? out[g * group + i] + x[i] : x[i];
    }
  }
}

void dequantise(const WireFormat& format, const BlockLayout& layout, const std::uint8_t* codes,
                const std::uint8_t* block, MutableValues out, bool accumulate) {
  if (out.type == ValueType::fp32) {
    dequantise_fp32(format, layout, codes, block, static_cast<float*>(out.data), accumulate);
    return;
  }
  static thread_local float wide[kBlockValues];
  dequantise_fp32(format, layout, codes, block, wide, false);
  store(out.type, wide, layout.values, out.data);
}

// Bits `shift`..`shift + width - 1` of every code, contiguous. Returns the end of the plane.
std::uint8_t* pack_plane(const std::uint8_t* codes, std::size_t n, int width, int shift,
                         std::uint8_t* out) {
  const std::size_t per_byte = 8U / static_cast<unsigned>(width);
  const unsigned mask = (1U << width) - 1U;
  for (std::size_t i = 0; i < n; i += per_byte) {
    unsigned byte = 0;
    for (std::size_t j = 0; j < per_byte; ++j) {
      byte |= ((static_cast<unsigned>(codes[i + j]) >> shift) & mask) << (j * width);
    }
    *out++ = static_cast<std::uint8_t>(byte);
  }
  return out;
}

const std::uint8_t* unpack_plane(const std::uint8_t* in, std::size_t n, int width, int shift,
                                 std::uint8_t* codes) {
  const std::size_t per_byte = 8U / static_cast<unsigned>(width);
  const unsigned mask = (1U << width) - 1U;
  for (std::size_t i = 0; i < n; ++i) {
    const unsigned part = (in[i / per_byte] >> ((i % per_byte) * width)) & mask;
    codes[i] = static_cast<std::uint8_t>((shift == 0 ? 0U : codes[i]) | (part << shift));
  }
  return in + n / per_byte;
}

void pack_planes(int bits, const std::uint8_t* codes, std::size_t n, std::uint8_t* out) {
  const PlaneSplit split = plane_split(bits);
  if (split.four) {
    out = pack_plane(codes, n, 4, 0, out);
  }
  if (split.two) {
    out = pack_plane(codes, n, 2, split.two_shift, out);
  }
  if (split.one) {
    pack_plane(codes, n, 1, split.one_shift, out);
  }
}

void unpack_planes(int bits, const std::uint8_t* in, std::size_t n, std::uint8_t* codes) {
  const PlaneSplit split = plane_split(bits);
  if (split.four) {
    in = unpack_plane(in, n, 4, 0, codes);
  }
  if (split.two) {
    in = unpack_plane(in, n, 2, split.two_shift, codes);
  }
  if (split.one) {
    unpack_plane(in, n, 1, split.one_shift, codes);
  }
}

void sum(const std::uint8_t* const* inputs, std::size_t count, std::size_t n, std::uint8_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    sum_one(inputs, count, i, out);
  }
}

void encode_fp8(const float* in, std::size_t n, std::uint8_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = to_fp8_e4m3(in[i]).bits;
  }
}

void decode_fp8(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = to_float(Fp8E4m3{in[i]});
  }
}

}  // namespace

const TileKernels& reference_tile_kernels() {
  static constexpr TileKernels kKernels{
      "reference", load,     store,      sum,         encode_fp8,
      decode_fp8,  quantise, dequantise, pack_planes, unpack_planes,
  };
  return kKernels;
}

}  // namespace foretoken::kernels
