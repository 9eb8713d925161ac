#include "reference_layer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/gemm/reference.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

using Matrix = std::vector<float>;

Matrix random_matrix(std::int64_t n, std::int64_t k, std::uint64_t seed) {
  SyntheticRandom random(seed);
  // Sums of four uniform numbers, close to normal and quick to make; variance 1 / k keeps
  // magnitudes.
  const double scale = std::sqrt(3.0 / static_cast<double>(k));
  Matrix values(static_cast<std::size_t>(n * k));
  for (float& value : values) {
    const double sum =
        random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2;
    value = static_cast<float>(sum * scale);
  }
  return values;
}

// Four sums at a time, so that a full-size layer takes seconds.
Matrix multiply(const Matrix& x, const Matrix& w, std::int64_t n, std::int64_t k) {
  const auto m = static_cast<std::int64_t>(x.size()) / k;
  Matrix out(static_cast<std::size_t>(m * n));
  for (std::int64_t channel = 0; channel < n; ++channel) {
    const float* const row = w.data() + channel * k;
    for (std::int64_t token = 0; token < m; ++token) {
      const float* const a = x.data() + token * k;
      float sums[16] = {};
      std::int64_t i = 0;
      for (; i + 16 <= k; i += 16) {
        for (int l = 0; l < 16; ++l) {
          sums[l] += a[i + l] * row[i + l];
        }
      }
      float sum = std::accumulate(sums, sums + 16, 0.0F);
      for (; i < k; ++i) {
        sum += a[i] * row[i];
      }
      out[static_cast<std::size_t>(token * n + channel)] = sum;
    }
  }
  return out;
}

Matrix normalise(const Matrix& x, const std::vector<Bf16>& weight, float eps) {
  const auto width = static_cast<std::int64_t>(weight.size());
  Matrix out(x.size());
  for (std::size_t row = 0; row < x.size(); row += weight.size()) {
    double sum = 0;
    for (std::int64_t i = 0; i < width; ++i) {
      sum += static_cast<double>(x[row + static_cast<std::size_t>(i)]) *
             x[row + static_cast<std::size_t>(i)];
    }
    const auto factor = static_cast<float>(
        1 / std::sqrt(sum / static_cast<double>(width) + static_cast<double>(eps)));
    for (std::int64_t i = 0; i < width; ++i) {
      const auto at = row + static_cast<std::size_t>(i);
      out[at] = x[at] * factor * to_float(weight[static_cast<std::size_t>(i)]);
    }
  }
  return out;
}

void rotate_heads(Matrix& qkv, const LayerShape& shape) {
  const std::int64_t width = shape.qkv_width(), half = shape.head_dim / 2;
  for (std::int64_t token = 0; token < static_cast<std::int64_t>(qkv.size()) / width; ++token) {
    for (std::int64_t head = 0; head < shape.heads + shape.kv_heads; ++head) {
      float* const x = qkv.data() + token * width + head * shape.head_dim;
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(token) *
                             std::pow(500000.0, -2.0 * static_cast<double>(i) / shape.head_dim);
        const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
        const float a = x[i], b = x[i + half];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
      }
    }
  }
}

Matrix attend(const Matrix& qkv, const LayerShape& shape) {
  const std::int64_t width = shape.qkv_width(), dim = shape.head_dim;
  const auto tokens = static_cast<std::int64_t>(qkv.size()) / width;
  Matrix out;
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (std::int64_t head = 0; head < shape.heads; ++head) {
      const float* const q = qkv.data() + token * width + head * dim;
      const std::int64_t key = (shape.heads + head * shape.kv_heads / shape.heads) * dim;
      const std::int64_t value = key + shape.kv_heads * dim;
      std::vector<double> weights;
      for (std::int64_t p = 0; p <= token; ++p) {
        double sum = 0;
        for (std::int64_t i = 0; i < dim; ++i) {
          sum += static_cast<double>(q[i]) * qkv[static_cast<std::size_t>(p * width + key + i)];
        }
        weights.push_back(std::exp(sum / std::sqrt(static_cast<double>(dim))));
      }
      const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (std::int64_t i = 0; i < dim; ++i) {
        double sum = 0;
        for (std::int64_t p = 0; p <= token; ++p) {
          sum += weights[static_cast<std::size_t>(p)] *
                 qkv[static_cast<std::size_t>(p * width + value + i)];
        }
        out.push_back(static_cast<float>(sum / total));
      }
    }
  }
  return out;
}

Matrix widen(const std::vector<Bf16>& x) {
  Matrix out;
  for (const Bf16 value : x) {
    out.push_back(to_float(value));
  }
  return out;
}

void add(Matrix& x, const Matrix& y) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] += y[i];
  }
}

Matrix round_bf16(const Matrix& x) {
  Matrix out;
  for (const float value : x) {
    out.push_back(to_float(to_bf16(value)));
  }
  return out;
}

// The values that a side of the GEMM holds after rounding.
Matrix rounded(const Matrix& x, std::int64_t rows, std::int64_t k, const GemmFormat& format,
               bool weights) {
  if (weights && format.weights == WeightFormat::integer) {
    return dequantize(quantize_weights(x, rows, k, {format.weight_bits, format.group, false}));
  }
  if (!weights && format.activations == ActivationFormat::int8) {
    return dequantize(quantize_activations(x, rows, k));
  }
  if (format.activations == ActivationFormat::fp8_e4m3) {
    return dequantize(quantize_fp8(x, rows, k, format.scale, weights ? 128 : 1));
  }
  return round_bf16(x);
}

}  // namespace

LayerWeights random_layer_weights(const LayerShape& shape, std::uint64_t seed) {
  LayerWeights weights;
  weights.qkv = random_matrix(shape.qkv_width(), shape.hidden, seed);
  weights.o = random_matrix(shape.hidden, shape.attention_width(), seed + 1);
  weights.gate_up = random_matrix(2 * shape.intermediate, shape.hidden, seed + 2);
  weights.down = random_matrix(shape.hidden, shape.intermediate, seed + 3);
  SyntheticRandom random(seed + 4);
  for (std::int64_t i = 0; i < shape.hidden; ++i) {
    weights.attention_norm.push_back(to_bf16(static_cast<float>(0.5 + random.uniform())));
    weights.mlp_norm.push_back(to_bf16(static_cast<float>(0.5 + random.uniform())));
  }
  return weights;
}

std::vector<float> reference_layer_delta(const LayerShape& shape, const LayerWeights& weights,
                                         const std::vector<Bf16>& hidden) {
  Matrix x = widen(hidden);
  const Matrix before = x;
  Matrix qkv = multiply(normalise(x, weights.attention_norm, shape.eps), weights.qkv,
                        shape.qkv_width(), shape.hidden);
  rotate_heads(qkv, shape);
  add(x, multiply(attend(qkv, shape), weights.o, shape.hidden, shape.attention_width()));
  const Matrix gate_up = multiply(normalise(x, weights.mlp_norm, shape.eps), weights.gate_up,
                                  2 * shape.intermediate, shape.hidden);
  Matrix inner;
  const std::int64_t width = shape.intermediate;
  for (std::size_t row = 0; row < gate_up.size(); row += static_cast<std::size_t>(2 * width)) {
    for (std::int64_t i = 0; i < width; ++i) {
      const float gate = gate_up[row + static_cast<std::size_t>(i)];
      inner.push_back(gate / (1 + std::exp(-gate)) *
                      gate_up[row + static_cast<std::size_t>(width + i)]);
    }
  }
  add(x, multiply(inner, weights.down, shape.hidden, width));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] -= before[i];
  }
  return x;
}

double relative_difference(const std::vector<float>& want, const std::vector<float>& got) {
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    signal += static_cast<double>(want[i]) * want[i];
    noise += (static_cast<double>(got[i]) - want[i]) * (static_cast<double>(got[i]) - want[i]);
  }
  return std::sqrt(noise / signal);
}

double gemm_relative_error(const GemmFormat& format, const std::vector<float>& weights,
                           std::int64_t n, std::int64_t k, const std::vector<float>& activations,
                           std::int64_t m) {
  const double w = relative_difference(weights, rounded(weights, n, k, format, true));
  const double a = relative_difference(activations, rounded(activations, m, k, format, false));
  return std::sqrt(w * w + a * a);
}

LayerComparison compare_layer(const LayerShape& shape, const LayerWeights& weights,
                              const GemmFormat& format, KvFormat kv, std::int64_t tokens,
                              std::uint64_t seed) {
  std::vector<Bf16> hidden;
  for (const float value : random_matrix(tokens, shape.hidden, seed)) {
    hidden.push_back(to_bf16(value * std::sqrt(static_cast<float>(shape.hidden))));
  }
  std::vector<std::int32_t> table(static_cast<std::size_t>(tokens / kKvBlockTokens + 1));
  std::iota(table.begin(), table.end(), 0);
  PagedKvCache cache({shape.kv_heads, shape.head_dim, kv}, static_cast<std::int64_t>(table.size()));
  RotaryConfig rotary;
  rotary.head_dim = shape.head_dim;
  WorkerPool pool(2);
  CpuGemm gemm(pool);
  TransformerLayer layer(shape, weights, format);
  std::vector<Bf16> out = hidden;
  const auto width = static_cast<std::size_t>(shape.hidden);
  const RotaryTable angles(rotary, tokens);
  // A chunk first, then the last token alone: prefill and decode in one run.
  const std::span<Bf16> all(out);
  layer.forward(all.first((out.size() / width - 1) * width), {table, tokens - 1, tokens - 1}, cache,
                angles, gemm, pool);
  layer.forward(all.last(width), {table, tokens, 1}, cache, angles, gemm, pool);

  Matrix delta = widen(out);
  const Matrix before = widen(hidden);
  for (std::size_t i = 0; i < delta.size(); ++i) {
    delta[i] -= before[i];
  }
  const Matrix normed = normalise(before, weights.attention_norm, shape.eps);
  const double one =
      gemm_relative_error(format, {weights.qkv.begin(), weights.qkv.begin() + 64 * shape.hidden},
                          64, shape.hidden, normed, tokens);
  // The MLP's share dominates what the layer adds: gate and up and down, sqrt(3) GEMM errors.
  // Results of the three GEMMs are rounded to bf16 (values in [1, 2), 1.5 on average, have steps of
  // 2^-7), and so is the hidden state after each of the two additions.
  const double step = 0x1p-7 / std::sqrt(12.0) / 1.5;
  const double signal = std::inner_product(delta.begin(), delta.end(), delta.begin(), 0.0);
  const double carried = std::inner_product(before.begin(), before.end(), before.begin(), 0.0);
  const double rounding = step * step * (3 + 2 * carried / signal);
  return {relative_difference(reference_layer_delta(shape, weights, hidden), delta),
          std::sqrt(3 * one * one + rounding)};
}

}  // namespace foretoken::kernels
