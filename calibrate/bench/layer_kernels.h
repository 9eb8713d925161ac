// Layer operators on one core: bf16 in memory, fp32 arithmetic. Written so that the compiler
// vectorises the innermost loop; it does so for several instruction sets and the widest is chosen
// at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretoken::calibrate {

using Bf16 = std::uint16_t;

float to_float(Bf16 value);
Bf16 to_bf16(float value);  // to nearest, ties to even

// out = x / rms(x) x gain, row by row.
void rms_norm(const Bf16* x, const Bf16* gain, Bf16* out, std::size_t rows, std::size_t width);
// out = silu(gate) x up, where each row of `in` holds gate and then up.
void silu_mul(const Bf16* in, Bf16* out, std::size_t rows, std::size_t width);
// into += from
void accumulate(Bf16* into, const Bf16* from, std::size_t count);
// Sum of all bytes as 64-bit words: reads memory and nothing else.
std::uint64_t read_all(const std::uint64_t* words, std::size_t count);
// Softmax of the first `seen` of `width` scores of a row; the rest become 0.
void softmax_row(const float* scores, float scale, std::size_t seen, std::size_t width, Bf16* out);

// Decode attention of the `group` query heads that share one KV head, over `tokens` cached tokens,
// a multiple of 16. Keys lie in blocks of 16 tokens, dimension by dimension (key[block][dim][16]),
// values token by token (value[token][dim]). `scratch` holds group x tokens floats.
void decode_attention(const Bf16* query, const Bf16* keys, const Bf16* values, Bf16* out,
                      std::size_t group, std::size_t dim, std::size_t tokens, float* scratch);
inline constexpr std::size_t kKeyBlock = 16;

}  // namespace foretoken::calibrate
