// Random values, their packed form and room to unpack it: what one row of codec_bench works on.
#pragma once

#include <cstring>
#include <random>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/float_types.h"
#include "kernels/codec/codec.h"

namespace foretoken::kernels {

struct CodecWork {
  CodecWork(const WireFormat& wire, ValueType element, std::size_t n)
      : format(wire),
        type(element),
        count(n),
        in(n * value_bytes(element)),
        packed(packed_bytes(wire, n)),
        out(n * value_bytes(element)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < n; ++i) {
      const float x = normal(random);
      if (element == ValueType::fp32) {
        std::memcpy(&in[4 * i], &x, 4);
      } else {
        const std::uint16_t bits = element == ValueType::bf16 ? to_bf16(x).bits : to_fp16(x).bits;
        std::memcpy(&in[2 * i], &bits, 2);
      }
    }
    best_codec().pack(format, {in.data(), type}, count, packed.data());
  }

  void pack(const Codec& codec) { codec.pack(format, {in.data(), type}, count, packed.data()); }
  void unpack(const Codec& codec) {
    codec.unpack(format, packed.data(), count, {out.data(), type});
  }
  void copy() { std::memcpy(out.data(), in.data(), in.size()); }
  void fill() { std::memset(out.data(), 1, out.size()); }

  WireFormat format;
  ValueType type;
  std::size_t count;
  AlignedBuffer<std::uint8_t> in;
  AlignedBuffer<std::uint8_t> packed;
  AlignedBuffer<std::uint8_t> out;
};

}  // namespace foretoken::kernels
