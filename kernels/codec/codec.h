// Packs values into a wire format and unpacks them, alone or fused with a sum, on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/codec/wire_format.h"

namespace foretoken::kernels {

enum class ValueType : std::uint8_t { fp32, bf16, fp16 };

constexpr std::size_t value_bytes(ValueType type) { return type == ValueType::fp32 ? 4 : 2; }
std::string_view to_string(ValueType type);

// Values in memory; the caller owns them.
struct ConstValues {
  const void* data;
  ValueType type;
};
struct MutableValues {
  void* data;
  ValueType type;
};

struct TileKernels;

// One implementation of the wire formats. All implementations write the same bytes and return the
// same values, bit for bit (of a NaN only that it is one). Stateless and safe to share.
class Codec {
 public:
  explicit Codec(const TileKernels& kernels) : kernels_(&kernels) {}

  std::string_view name() const;

  // Writes packed_bytes(format, n) bytes.
  void pack(const WireFormat& format, ConstValues in, std::size_t n, std::uint8_t* out) const;
  void unpack(const WireFormat& format, const std::uint8_t* in, std::size_t n,
              MutableValues out) const;

  // out[i] = inputs[0][i] + inputs[1][i] + ..., added in that order in fp32 and rounded once at the
  // end. REQUIRES: at least one input.
  void unpack_accumulate(const WireFormat& format, std::span<const std::uint8_t* const> inputs,
                         std::size_t n, MutableValues out) const;

  // The same sum, packed again without a trip through memory; the two formats may differ.
  void unpack_reduce_pack(const WireFormat& from, std::span<const std::uint8_t* const> inputs,
                          std::size_t n, const WireFormat& to, std::uint8_t* out) const;

 private:
  const TileKernels* kernels_;
};

const Codec& reference_codec();
const Codec& best_codec();  // the fastest that this processor (and FORETOKEN_ISA) allows
std::vector<const Codec*> available_codecs();  // the reference first, the best last

}  // namespace foretoken::kernels
