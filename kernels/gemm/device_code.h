// What kernel bodies that run on a GPU and on an emulated block share.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define FT_DEVICE __device__ __forceinline__
#define FT_HOST_DEVICE __host__ __device__ __forceinline__
#define FT_UNROLL _Pragma("unroll")
#define FT_NO_UNROLL _Pragma("unroll 1")
#else
#define FT_DEVICE inline
#define FT_HOST_DEVICE inline
#define FT_UNROLL
#define FT_NO_UNROLL
#endif

namespace foretoken::kernels {

struct alignas(16) Words4 {
  std::uint32_t w[4];
};

struct alignas(8) Words2 {
  std::uint32_t w[2];
};

template <typename To, typename From>
FT_DEVICE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

FT_DEVICE std::uint16_t bf16_bits(float value) {
  const auto u = bits_as<std::uint32_t>(value);
  if ((u & 0x7fffffffU) > 0x7f800000U) {
    return static_cast<std::uint16_t>((u >> 16) | 0x40U);
  }
  return static_cast<std::uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16);
}

}  // namespace foretoken::kernels
