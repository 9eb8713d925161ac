// Random values, their packed form and room to unpack it: what one row of codec_bench works on.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/base/aligned_buffer.h"
#include "kernels/codec/codec.h"
#include "kernels/codec/numeric_error.h"

namespace foretoken::kernels {

struct CodecWork {
  static constexpr std::size_t kDrawn = std::size_t{1} << 20;  // then they repeat

  CodecWork(const WireFormat& wire, ValueType element, std::size_t n)
      : format(wire),
        type(element),
        count(n),
        in(n * value_bytes(element)),
        packed(packed_bytes(wire, n)),
        out(n * value_bytes(element)) {
    const auto x = sample_values(SampleKind::normal, std::min(n, kDrawn), 1);
    for (std::size_t i = 0; i < n; i += kDrawn) {
      best_codec().unpack(parse_wire_format("fp32"),
                          reinterpret_cast<const std::uint8_t*>(x.data()), std::min(kDrawn, n - i),
                          {&in[i * value_bytes(element)], element});
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
