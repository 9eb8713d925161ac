#include "kernels/gemm/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

std::int64_t dot(const std::int8_t* a, const std::int8_t* w, std::int64_t count) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += static_cast<std::int64_t>(a[i]) * w[i];
  }
  return sum;
}

// Calls result(token, channel) for every output, row-major.
template <typename T, typename Result>
std::vector<T> for_each_output(const QuantizedActivations& activations,
                               const QuantizedWeights& weights, const Result& result) {
  FT_KERNEL_CHECK(activations.k == weights.k);
  std::vector<T> out;
  out.reserve(static_cast<std::size_t>(activations.m * weights.n));
  for (std::int64_t token = 0; token < activations.m; ++token) {
    for (std::int64_t channel = 0; channel < weights.n; ++channel) {
      out.push_back(result(token, channel));
    }
  }
  return out;
}

std::int64_t group_dot(const QuantizedActivations& activations, const QuantizedWeights& weights,
                       std::int64_t token, std::int64_t channel, std::int64_t group) {
  const std::int64_t first = group * weights.group_size();
  const std::int64_t count = std::min(weights.k - first, weights.group_size());
  return dot(activations.values.data() + token * weights.k + first,
             weights.values.data() + channel * weights.k + first, count);
}

}  // namespace

std::vector<std::int64_t> reference_int_gemm(const QuantizedActivations& activations,
                                             const QuantizedWeights& weights) {
  return for_each_output<std::int64_t>(
      activations, weights, [&](std::int64_t token, std::int64_t channel) {
        return dot(activations.values.data() + token * weights.k,
                   weights.values.data() + channel * weights.k, weights.k);
      });
}

std::vector<float> reference_per_channel(const QuantizedActivations& activations,
                                         const QuantizedWeights& weights) {
  return for_each_output<float>(
      activations, weights, [&](std::int64_t token, std::int64_t channel) {
        const auto sum =
            static_cast<float>(dot(activations.values.data() + token * weights.k,
                                   weights.values.data() + channel * weights.k, weights.k));
        return sum * weights.scales[static_cast<std::size_t>(channel)] *
               activations.scales[static_cast<std::size_t>(token)];
      });
}

std::vector<float> reference_group_float(const QuantizedActivations& activations,
                                         const QuantizedWeights& weights) {
  return for_each_output<float>(
      activations, weights, [&](std::int64_t token, std::int64_t channel) {
        float sum = 0;
        for (std::int64_t g = 0; g < weights.groups(); ++g) {
          sum = std::fma(static_cast<float>(group_dot(activations, weights, token, channel, g)),
                         weights.scales[static_cast<std::size_t>(channel * weights.groups() + g)],
                         sum);
        }
        return sum * activations.scales[static_cast<std::size_t>(token)];
      });
}

std::vector<float> reference_group_integer(const QuantizedActivations& activations,
                                           const QuantizedWeights& weights,
                                           const IntegerScales& scales) {
  return for_each_output<float>(
      activations, weights, [&](std::int64_t token, std::int64_t channel) {
        std::int64_t sum = 0;
        for (std::int64_t g = 0; g < weights.groups(); ++g) {
          sum += group_dot(activations, weights, token, channel, g) *
                 scales.values[static_cast<std::size_t>(channel * weights.groups() + g)];
        }
        return static_cast<float>(sum) * std::ldexp(1.0F, -scales.alpha_log2) *
               activations.scales[static_cast<std::size_t>(token)];
      });
}

std::vector<double> reference_fp64_gemm(std::span<const float> activations,
                                        std::span<const float> weights, std::int64_t m,
                                        std::int64_t n, std::int64_t k) {
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(m * n));
  for (std::int64_t token = 0; token < m; ++token) {
    for (std::int64_t channel = 0; channel < n; ++channel) {
      double sum = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        sum += static_cast<double>(activations[static_cast<std::size_t>(token * k + i)]) *
               weights[static_cast<std::size_t>(channel * k + i)];
      }
      out.push_back(sum);
    }
  }
  return out;
}

std::vector<float> dequantize(const QuantizedWeights& weights) {
  std::vector<float> out(weights.values.size());
  for (std::int64_t row = 0; row < weights.n; ++row) {
    for (std::int64_t col = 0; col < weights.k; ++col) {
      const auto i = static_cast<std::size_t>(row * weights.k + col);
      out[i] = static_cast<float>(weights.values[i]) *
               weights.scales[static_cast<std::size_t>(row * weights.groups() +
                                                       col / weights.group_size())];
    }
  }
  return out;
}

std::vector<float> dequantize(const QuantizedActivations& activations) {
  std::vector<float> out(activations.values.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(activations.values[i]) *
             activations.scales[i / static_cast<std::size_t>(activations.k)];
  }
  return out;
}

std::vector<float> dequantize(const Fp8Matrix& matrix) {
  std::vector<float> out(matrix.values.size());
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    for (std::int64_t col = 0; col < matrix.k; ++col) {
      const auto i = static_cast<std::size_t>(row * matrix.k + col);
      out[i] = to_float(matrix.values[i]) * matrix.scale_at(row, col);
    }
  }
  return out;
}

}  // namespace foretoken::kernels
