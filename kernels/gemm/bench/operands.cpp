#include "kernels/gemm/bench/operands.h"

#include <cmath>
#include <cstring>

#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

// Random int8 with the given limit; quantising fp32 weights of a 70B layer would take minutes.
std::vector<std::int8_t> random_integers(std::int64_t count, int limit, SyntheticRandom& random) {
  std::vector<std::int8_t> values(static_cast<std::size_t>(count));
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    bits = i % 8 == 0 ? random.next() : bits >> 8;
    values[i] =
        static_cast<std::int8_t>(static_cast<int>(bits & 255) * (2 * limit + 1) / 256 - limit);
  }
  return values;
}

std::vector<Bf16> random_bf16(std::int64_t count, SyntheticRandom& random) {
  std::vector<Bf16> values(static_cast<std::size_t>(count));
  for (Bf16& value : values) {
    value = to_bf16(static_cast<float>(random.uniform() - 0.5));
  }
  return values;
}

template <typename T>
std::vector<std::uint8_t> bytes_of(const std::vector<T>& values) {
  std::vector<std::uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

Fp8Matrix random_fp8(std::int64_t rows, std::int64_t k, ScaleKind scale, std::int64_t block_rows,
                     SyntheticRandom& random) {
  std::vector<float> values;
  for (const Bf16 value : random_bf16(rows * k, random)) {
    values.push_back(to_float(value));
  }
  return quantize_fp8(values, rows, k, scale, block_rows);
}

QuantizedWeights random_weights(const GemmDescriptor& d, SyntheticRandom& random) {
  QuantizedWeights weights{d.n, d.k, d.format.weight_bits, d.format.group, {}, {}};
  weights.values = random_integers(d.n * d.k, weight_limit(d.format.weight_bits), random);
  for (std::int64_t i = 0; i < d.n * weights.groups(); ++i) {
    weights.scales.push_back(static_cast<float>(0.002 + 0.004 * random.uniform()));
  }
  return weights;
}

}  // namespace

BenchOperands make_bench_operands(const GemmDescriptor& descriptor, std::uint64_t seed) {
  SyntheticRandom random(seed);
  BenchOperands operands;
  const GemmFormat& format = descriptor.format;
  const std::int64_t m = descriptor.m, n = descriptor.n, k = descriptor.k;
  switch (format.activations) {
    case ActivationFormat::int8:
      operands.activations = bytes_of(random_integers(m * k, kActivationLimit, random));
      operands.scales.assign(static_cast<std::size_t>(m), 0.01F);
      break;
    case ActivationFormat::bf16:
      operands.activations = bytes_of(random_bf16(m * k, random));
      break;
    case ActivationFormat::fp8_e4m3: {
      const Fp8Matrix a = random_fp8(m, k, format.scale, 1, random);
      operands.activations = bytes_of(a.values);
      operands.scales = a.scales;
      break;
    }
  }
  if (format.weights == WeightFormat::bf16) {
    const std::vector<Bf16> weights = random_bf16(n * k, random);
    operands.raw_weights = bytes_of(weights);
    operands.weights = pack_bf16_weights(weights, n, k);
  } else if (format.weights == WeightFormat::fp8_e4m3) {
    operands.weights = pack_fp8_weights(random_fp8(n, k, format.scale, 128, random));
  } else {
    const QuantizedWeights weights = random_weights(descriptor, random);
    if (format.weight_bits == 8 && format.integer_math()) {
      operands.raw_weights = bytes_of(weights.values);
    }
    operands.weights = pack_weights(weights, format);
  }
  return operands;
}

PackedWeights clone(const PackedWeights& weights) {
  const auto copy = [](const PageBuffer& from) {
    PageBuffer to(from.size());
    if (from.size() != 0) {
      std::memcpy(to.as(), from.as(), from.size());
    }
    return to;
  };
  PackedWeights result;
  result.format = weights.format;
  result.n = weights.n;
  result.k = weights.k;
  result.blocks = weights.blocks;
  result.k_tiles = weights.k_tiles;
  result.tile_bytes = weights.tile_bytes;
  result.group_tiles = weights.group_tiles;
  result.data = copy(weights.data);
  result.scales = copy(weights.scales);
  result.integer_scales = copy(weights.integer_scales);
  result.alpha_log2 = weights.alpha_log2;
  result.k_splits = weights.k_splits;
  result.groups_per_split = weights.groups_per_split;
  return result;
}

}  // namespace foretoken::kernels
