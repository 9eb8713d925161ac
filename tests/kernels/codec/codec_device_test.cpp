// The device code of the CUDA codec, run on an emulated warp: same bytes as the reference, without
// a GPU. What this cannot see is what the hardware adds: memory order, alignment faults, launch
// sizes.
#include "warp_emulation.h"
// The device code comes after the emulation.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/codec/codec_device.cuh"
#include "special_patterns.h"

namespace foretoken::kernels {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct alignas(16) Room {
  std::uint8_t bytes[4 * kBlockValues];
};

std::size_t tiles(std::size_t n) { return (n + kBlockValues - 1) / kBlockValues; }

Bytes device_pack(const WireFormat& format, const Bytes& in, ValueType type, std::size_t n) {
  Bytes out(packed_bytes(format, n));
  const device::DeviceFormat f = device::device_format(format);
  Room room;
  for (std::size_t tile = 0; tile < tiles(n); ++tile) {
    emulation::Warp::run([&] {
      if (type == ValueType::fp32) {
        device::warp_pack<ValueType::fp32>(f, in.data(), n, tile, out.data(), room.bytes);
      } else if (type == ValueType::bf16) {
        device::warp_pack<ValueType::bf16>(f, in.data(), n, tile, out.data(), room.bytes);
      } else {
        device::warp_pack<ValueType::fp16>(f, in.data(), n, tile, out.data(), room.bytes);
      }
    });
  }
  return out;
}

device::Inputs input_list(const std::vector<Bytes>& messages) {
  device::Inputs inputs{};
  for (const Bytes& m : messages) {
    inputs.message[inputs.count++] = m.data();
  }
  return inputs;
}

Bytes device_sum(const WireFormat& format, const std::vector<Bytes>& messages, ValueType type,
                 std::size_t n) {
  Bytes out(n * value_bytes(type));
  const device::DeviceFormat f = device::device_format(format);
  const device::Inputs inputs = input_list(messages);
  Room room;
  for (std::size_t tile = 0; tile < tiles(n); ++tile) {
    emulation::Warp::run([&] {
      if (type == ValueType::fp32) {
        device::warp_unpack<ValueType::fp32>(f, inputs, n, tile, out.data(), room.bytes);
      } else if (type == ValueType::bf16) {
        device::warp_unpack<ValueType::bf16>(f, inputs, n, tile, out.data(), room.bytes);
      } else {
        device::warp_unpack<ValueType::fp16>(f, inputs, n, tile, out.data(), room.bytes);
      }
    });
  }
  return out;
}

Bytes reference_pack(const WireFormat& format, const Bytes& in, ValueType type, std::size_t n) {
  Bytes out(packed_bytes(format, n));
  reference_codec().pack(format, {in.data(), type}, n, out.data());
  return out;
}

std::vector<const std::uint8_t*> pointers(const std::vector<Bytes>& messages) {
  std::vector<const std::uint8_t*> list;
  for (const Bytes& m : messages) {
    list.push_back(m.data());
  }
  return list;
}

TEST(CodecDevice, Every_format_and_special_value_packs_and_unpacks_like_the_reference) {
  const std::vector<Pattern> all = patterns(2 * kBlockValues);
  std::size_t turn = 0;
  for (const WireFormat& format : all_wire_formats()) {
    // A third of the patterns each, and counts and element types spread over them: an emulated warp
    // is slow, and neighbouring formats share all code but a constant.
    for (std::size_t p = turn++ % 3; p < all.size(); p += 3) {
      const std::size_t counts[] = {1, 33, 777, kBlockValues, kBlockValues + 95};
      const std::size_t n = counts[p % 5];
      const auto type = static_cast<ValueType>((p + static_cast<std::size_t>(format.bits)) % 3);
      const std::string what = to_string(format) + ", " + all[p].name + ", n " + std::to_string(n);
      const Bytes in = to_elements(all[p].values, n, type);
      const Bytes expected = reference_pack(format, in, type, n);
      expect_same_message(format, device_pack(format, in, type, n), expected, what);
      Bytes values(n * value_bytes(type));
      reference_codec().unpack(format, expected.data(), n, {values.data(), type});
      expect_same(device_sum(format, {expected}, type, n), values, type, what);
      if (HasFatalFailure()) {
        return;
      }
    }
  }
}

TEST(CodecDevice, Sums_and_requantisation_agree_with_the_reference) {
  const auto formats = all_wire_formats();
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const WireFormat& from = formats[i];
    const WireFormat& to = formats[(5 * i + 1) % formats.size()];
    const std::size_t n = i % 2 == 0 ? kBlockValues + 37 : 300;
    std::vector<Bytes> messages;
    for (unsigned rank = 0; rank < 3; ++rank) {
      const Bytes in = to_elements(normal_values(n, rank + 1), n, ValueType::fp32);
      messages.push_back(reference_pack(from, in, ValueType::fp32, n));
    }
    const auto list = pointers(messages);
    Bytes sum(4 * n);
    reference_codec().unpack_accumulate(from, list, n, {sum.data(), ValueType::fp32});
    ASSERT_EQ(device_sum(from, messages, ValueType::fp32, n), sum) << to_string(from);
    Bytes expected(packed_bytes(to, n));
    Bytes actual(expected.size());
    reference_codec().unpack_reduce_pack(from, list, n, to, expected.data());
    const device::Inputs inputs = input_list(messages);
    Room room;
    for (std::size_t tile = 0; tile < tiles(n); ++tile) {
      emulation::Warp::run([&] {
        device::warp_reduce_pack(device::device_format(from), inputs, n, device::device_format(to),
                                 tile, actual.data(), room.bytes);
      });
    }
    ASSERT_EQ(actual, expected) << to_string(from) << " to " << to_string(to);
  }
}

}  // namespace
}  // namespace foretoken::kernels
