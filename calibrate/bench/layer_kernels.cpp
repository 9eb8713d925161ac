#include "calibrate/bench/layer_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

// One copy of a function per instruction set, resolved when the program is loaded. Sanitizers
// instrument the resolver before they are set up, so they get the plain code.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define FT_VECTOR_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FT_VECTOR_CLONES
#endif
#define FT_INLINE inline __attribute__((always_inline))

namespace foretoken::calibrate {
namespace {

// Sixteen numbers at once; the compiler lowers them to what each instruction set has.
constexpr std::size_t kLanes = 16;
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef std::uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * kLanes)));

FT_INLINE float widen(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

FT_INLINE Bf16 narrow(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bf16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

FT_INLINE Floats splat(float value) { return Floats{} + value; }

FT_INLINE Floats load(const Bf16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return std::bit_cast<Floats>(__builtin_convertvector(halves, Words) << 16);
}

FT_INLINE Floats load(const float* from) {
  Floats values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

FT_INLINE void store(float* to, Floats values) { std::memcpy(to, &values, sizeof values); }

FT_INLINE void store(Bf16* to, Floats values) {
  const Words bits = std::bit_cast<Words>(values);
  const Halves halves = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

FT_INLINE float sum_of(Floats values) {
  float sum = 0;
  for (std::size_t i = 0; i < kLanes; ++i) {
    sum += values[i];
  }
  return sum;
}

FT_INLINE Floats larger(Floats a, Floats b) { return a > b ? a : b; }

FT_INLINE float largest(Floats values) {
  float top = values[0];
  for (std::size_t i = 1; i < kLanes; ++i) {
    top = std::max(top, values[i]);
  }
  return top;
}

// e^x for |x| below about 80, relative error below 1e-4 (bf16 keeps 4e-3): 2^(x log2 e) split into
// a whole power and a polynomial of the rest in [-1/2, 1/2].
FT_INLINE Floats fast_exp(Floats x) {
  const Floats y = larger(x * 1.44269504F, splat(-126.0F));
  // Adding 1.5 x 2^23 leaves the nearest whole number in the low bits.
  const Floats shifted = y + 12582912.0F;
  const Floats whole = shifted - 12582912.0F;
  const Floats f = y - whole;
  const Floats p =
      1.0F +
      f * (0.693147F + f * (0.240227F + f * (0.0555041F + f * (0.00961813F + f * 0.00133F))));
  const Ints power = std::bit_cast<Ints>(shifted) << 23;  // the bits above fall out
  return std::bit_cast<Floats>(std::bit_cast<Ints>(p) + power);
}

FT_INLINE float fast_exp(float x) { return fast_exp(splat(x))[0]; }

}  // namespace

float to_float(Bf16 value) { return widen(value); }
Bf16 to_bf16(float value) { return narrow(value); }

FT_VECTOR_CLONES void rms_norm(const Bf16* x, const Bf16* gain, Bf16* out, std::size_t rows,
                               std::size_t width) {
  for (std::size_t row = 0; row < rows; ++row, x += width, out += width) {
    Floats squares[4] = {};  // four chains hide the latency of the addition
    std::size_t i = 0;
    for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
      for (std::size_t j = 0; j < 4; ++j) {
        const Floats v = load(x + i + j * kLanes);
        squares[j] += v * v;
      }
    }
    float sum = sum_of((squares[0] + squares[1]) + (squares[2] + squares[3]));
    for (; i < width; ++i) {
      sum += widen(x[i]) * widen(x[i]);
    }
    const float scale = 1.0F / std::sqrt(sum / static_cast<float>(width) + 1e-5F);
    for (i = 0; i + kLanes <= width; i += kLanes) {
      store(out + i, load(x + i) * scale * load(gain + i));
    }
    for (; i < width; ++i) {
      out[i] = narrow(widen(x[i]) * scale * widen(gain[i]));
    }
  }
}

FT_VECTOR_CLONES void silu_mul(const Bf16* in, Bf16* out, std::size_t rows, std::size_t width) {
  for (std::size_t row = 0; row < rows; ++row, in += 2 * width, out += width) {
    std::size_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const Floats gate = load(in + i);
      store(out + i, gate / (1.0F + fast_exp(-gate)) * load(in + width + i));
    }
    for (; i < width; ++i) {
      const float gate = widen(in[i]);
      out[i] = narrow(gate / (1.0F + fast_exp(-gate)) * widen(in[width + i]));
    }
  }
}

FT_VECTOR_CLONES void accumulate(Bf16* into, const Bf16* from, std::size_t count) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(into + i, load(into + i) + load(from + i));
  }
  for (; i < count; ++i) {
    into[i] = narrow(widen(into[i]) + widen(from[i]));
  }
}

FT_VECTOR_CLONES std::uint64_t read_all(const std::uint64_t* words, std::size_t count) {
  constexpr std::size_t kUnroll = 32;
  std::uint64_t lanes[kUnroll] = {};
  std::size_t i = 0;
  for (; i + kUnroll <= count; i += kUnroll) {
    for (std::size_t j = 0; j < kUnroll; ++j) {
      lanes[j] += words[i + j];
    }
  }
  std::uint64_t sum = 0;
  for (; i < count; ++i) {
    sum += words[i];
  }
  for (const std::uint64_t lane : lanes) {
    sum += lane;
  }
  return sum;
}

FT_VECTOR_CLONES void softmax_row(const float* scores, float scale, std::size_t seen,
                                  std::size_t width, Bf16* out) {
  Floats tops = splat(-1e30F);
  std::size_t i = 0;
  for (; i + kLanes <= seen; i += kLanes) {
    tops = larger(tops, load(scores + i));
  }
  float top = largest(tops);
  for (; i < seen; ++i) {
    top = std::max(top, scores[i]);
  }
  // Exponentials are rounded to bf16 once and summed as rounded, so that weights add up to one.
  Floats sums = {};
  for (i = 0; i + kLanes <= seen; i += kLanes) {
    store(out + i, fast_exp((load(scores + i) - top) * scale));
    sums += load(out + i);
  }
  float sum = sum_of(sums);
  for (; i < seen; ++i) {
    out[i] = narrow(fast_exp((scores[i] - top) * scale));
    sum += widen(out[i]);
  }
  const float inverse = 1.0F / sum;
  for (i = 0; i + kLanes <= seen; i += kLanes) {
    store(out + i, load(out + i) * inverse);
  }
  for (; i < seen; ++i) {
    out[i] = narrow(widen(out[i]) * inverse);
  }
  std::fill(out + seen, out + width, Bf16{0});
}

namespace {

// Scores of kHeads queries against one block of 16 keys: each key is widened once for all heads.
template <std::size_t kHeads>
FT_INLINE void score_block(const Bf16* query, const Bf16* key, std::size_t dim, float scale,
                           float* scores, std::size_t stride) {
  Floats totals[kHeads] = {};
  for (std::size_t d = 0; d < dim; ++d) {
    const Floats keys = load(key + d * kKeyBlock);
    for (std::size_t head = 0; head < kHeads; ++head) {
      totals[head] += keys * widen(query[head * dim + d]);
    }
  }
  for (std::size_t head = 0; head < kHeads; ++head) {
    store(scores + head * stride, totals[head] * scale);
  }
}

// Weighted sums of kHeads heads over all tokens, kLanes x kParts dimensions at a time in registers.
template <std::size_t kHeads, std::size_t kParts>
FT_INLINE void weigh_values(const float* weights, std::size_t stride, const Bf16* values,
                            std::size_t dim, std::size_t tokens, const float* inverse, Bf16* out) {
  Floats totals[kHeads][kParts] = {};
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t part = 0; part < kParts; ++part) {
      const Floats value = load(values + t * dim + part * kLanes);
      for (std::size_t head = 0; head < kHeads; ++head) {
        totals[head][part] += value * weights[head * stride + t];
      }
    }
  }
  for (std::size_t head = 0; head < kHeads; ++head) {
    for (std::size_t part = 0; part < kParts; ++part) {
      store(out + head * dim + part * kLanes, totals[head][part] * inverse[head]);
    }
  }
}

template <std::size_t kHeads>
FT_INLINE void decode_heads(const Bf16* query, const Bf16* keys, const Bf16* values, Bf16* out,
                            std::size_t dim, std::size_t tokens, float* scratch) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(dim));
  for (std::size_t block = 0; block < tokens / kKeyBlock; ++block) {
    score_block<kHeads>(query, keys + block * dim * kKeyBlock, dim, scale,
                        scratch + block * kKeyBlock, tokens);
  }
  float inverse[kHeads];
  for (std::size_t head = 0; head < kHeads; ++head) {
    float* weights = scratch + head * tokens;
    Floats tops = splat(-1e30F);
    for (std::size_t t = 0; t < tokens; t += kLanes) {
      tops = larger(tops, load(weights + t));
    }
    const float top = largest(tops);
    Floats sums = {};
    for (std::size_t t = 0; t < tokens; t += kLanes) {
      const Floats weight = fast_exp(load(weights + t) - top);
      store(weights + t, weight);
      sums += weight;
    }
    inverse[head] = 1.0F / sum_of(sums);
  }
  std::size_t d = 0;
  for (; d + 4 * kLanes <= dim; d += 4 * kLanes) {
    weigh_values<kHeads, 4>(scratch, tokens, values + d, dim, tokens, inverse, out + d);
  }
  for (; d < dim; d += kLanes) {
    weigh_values<kHeads, 1>(scratch, tokens, values + d, dim, tokens, inverse, out + d);
  }
}

}  // namespace

FT_VECTOR_CLONES void decode_attention(const Bf16* query, const Bf16* keys, const Bf16* values,
                                       Bf16* out, std::size_t group, std::size_t dim,
                                       std::size_t tokens, float* scratch) {
  std::size_t head = 0;
  for (; head + 4 <= group; head += 4) {
    decode_heads<4>(query + head * dim, keys, values, out + head * dim, dim, tokens, scratch);
  }
  for (; head < group; ++head) {
    decode_heads<1>(query + head * dim, keys, values, out + head * dim, dim, tokens, scratch);
  }
}

}  // namespace foretoken::calibrate
