// What a GEMM is: out[m, n] = activations[m, k] x weights[n, k]^T, and how a format is named.
//
//   bf16                     both sides bf16
//   fp8_tensor | fp8_token_channel | fp8_block128      e4m3, scales per tensor, per token x
//   channel, or
//                            per token and 128 values x block of 128 x 128 weights
//   w8a8                     int8, scales per channel and token
//   w4a8                     4-bit weights per channel (FastGEMM, arXiv 2311.09550)
//   w4a8_g128_float          4-bit weights, a float scale per channel and group of k
//   w4a8_g128_integer        the same with integer scales (Integer Scale, arXiv 2405.14597)
//   w2a16_g128 ... w8a16_g128    2, 3, 4, 5, 6 and 8-bit weights, float scale per group, bf16
//   activations
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretoken::kernels {

enum class WeightFormat : std::uint8_t { bf16, fp8_e4m3, integer };
enum class ActivationFormat : std::uint8_t { bf16, fp8_e4m3, int8 };
enum class ScaleKind : std::uint8_t {
  none,           // bf16
  per_tensor,     // one float a side
  per_channel,    // a float per channel; activations, if quantised, a float per token
  group_float,    // a float per channel and group of k
  group_integer,  // an integer per channel and group of k, one power of two per matrix
  block_128,      // a float per 128 x 128 weights, and per token and 128 values of k
};
enum class OutputType : std::uint8_t { fp32, bf16 };

// The part of a GEMM that its weights decide.
struct GemmFormat {
  WeightFormat weights = WeightFormat::bf16;
  int weight_bits = 16;
  ActivationFormat activations = ActivationFormat::bf16;
  ScaleKind scale = ScaleKind::none;
  int group = 0;  // values of k that share a scale; 0: all of k

  bool operator==(const GemmFormat&) const = default;
  bool grouped() const { return group != 0; }
  bool integer_math() const { return activations == ActivationFormat::int8; }
};

struct GemmDescriptor {
  std::int64_t m = 0, n = 0, k = 0;
  GemmFormat format;
  OutputType output = OutputType::bf16;
};

// Throws KernelError with the known names. "_g64" and, for 16-bit activations, "_g32" are
// accepted in place of "_g128".
GemmFormat parse_gemm_format(std::string_view name);
std::string to_string(const GemmFormat& format);
std::string to_string(const GemmDescriptor& descriptor);
// Every format above, g128 for the grouped ones.
std::vector<GemmFormat> all_gemm_formats();

// Throws KernelError when the combination has no meaning or no kernel.
void check_gemm_format(const GemmFormat& format);

// Bytes of the packed weights with their scales: what one pass over the matrix must read.
std::int64_t weight_bytes(const GemmFormat& format, std::int64_t n, std::int64_t k);

// Largest magnitude a weight of `bits` bits takes: the range is symmetric, so that a product with
// an activation in [-127, 127] never reaches the 16-bit saturation of VPMADDUBSW.
constexpr int weight_limit(int bits) { return (1 << (bits - 1)) - 1; }
inline constexpr int kActivationLimit = 127;

}  // namespace foretoken::kernels
