#include "kernels/gemm/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

// Scale and squared error of one group at a clipping ratio of its largest magnitude.
double squared_error(std::span<const float> group, float scale, int limit) {
  double sum = 0;
  for (const float value : group) {
    const float level = std::clamp(std::nearbyint(value / scale), static_cast<float>(-limit),
                                   static_cast<float>(limit));
    const double error = static_cast<double>(value) - static_cast<double>(level) * scale;
    sum += error * error;
  }
  return sum;
}

float largest_magnitude(std::span<const float> values) {
  float largest = 0;
  for (const float value : values) {
    largest = std::max(largest, std::fabs(value));
  }
  return largest;
}

float choose_scale(std::span<const float> group, int limit, bool search_clipping) {
  const float largest = largest_magnitude(group);
  // An all-zero group takes any scale; a scale below the smallest normal would lose its own
  // precision.
  const float full =
      std::max(largest / static_cast<float>(limit), std::numeric_limits<float>::min());
  if (!search_clipping || largest == 0) {
    return full;
  }
  float best = full;
  double best_error = squared_error(group, full, limit);
  for (int percent = 97; percent >= 40; percent -= 3) {
    const float scale = full * static_cast<float>(percent) / 100.0F;
    if (scale < std::numeric_limits<float>::min()) {
      break;
    }
    const double error = squared_error(group, scale, limit);
    if (error < best_error) {
      best_error = error;
      best = scale;
    }
  }
  return best;
}

// Bound of |partial sum| over groups [first, last) of one channel, and over all channels and
// splits.
std::int64_t channel_bound(const std::int32_t* scales, const std::int64_t* magnitudes,
                           std::int64_t first, std::int64_t last) {
  std::int64_t bound = 0;
  for (std::int64_t g = first; g < last; ++g) {
    bound += scales[g] * magnitudes[g] * kActivationLimit;
  }
  return bound;
}

std::int64_t worst_bound(const IntegerScales& scales, const std::vector<std::int64_t>& magnitudes,
                         std::int64_t n, std::int64_t groups) {
  std::int64_t worst = 0;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t g = 0; g < groups; g += scales.groups_per_split) {
      worst = std::max(worst, channel_bound(scales.values.data() + row * groups,
                                            magnitudes.data() + row * groups, g,
                                            std::min(groups, g + scales.groups_per_split)));
    }
  }
  return worst;
}

// sum of |w| over each group.
std::vector<std::int64_t> group_magnitudes(const QuantizedWeights& weights) {
  const std::int64_t groups = weights.groups();
  std::vector<std::int64_t> magnitudes(static_cast<std::size_t>(weights.n * groups));
  for (std::int64_t row = 0; row < weights.n; ++row) {
    for (std::int64_t col = 0; col < weights.k; ++col) {
      magnitudes[static_cast<std::size_t>(row * groups + col / weights.group_size())] +=
          std::abs(weights.values[static_cast<std::size_t>(row * weights.k + col)]);
    }
  }
  return magnitudes;
}

// Fills values and rms_error for scales.alpha_log2.
void round_scales(const std::vector<float>& scales, IntegerScales& result) {
  double error = 0, total = 0;
  result.values.resize(scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const double exact = std::ldexp(static_cast<double>(scales[i]), result.alpha_log2);
    const double rounded = std::nearbyint(exact);
    result.values[i] = static_cast<std::int32_t>(rounded);
    error += (rounded - exact) * (rounded - exact);
    total += exact * exact;
  }
  result.rms_error = total > 0 ? std::sqrt(error / total) : 0;
}

// The largest alpha whose scales fit 16 bits and whose bound is proved.
IntegerScales largest_alpha(const QuantizedWeights& weights,
                            const std::vector<std::int64_t>& magnitudes, int k_splits) {
  const std::int64_t groups = weights.groups();
  IntegerScales result;
  result.groups_per_split = (groups + k_splits - 1) / k_splits;
  result.k_splits =
      static_cast<int>((groups + result.groups_per_split - 1) / result.groups_per_split);
  const float largest = largest_magnitude(weights.scales);
  result.alpha_log2 = largest > 0 ? 15 - std::ilogb(largest) : 0;  // largest S in [2^15, 2^16]
  for (;; --result.alpha_log2) {
    round_scales(weights.scales, result);
    if (*std::max_element(result.values.begin(), result.values.end()) >= (1 << 16)) {
      continue;
    }
    result.bound = worst_bound(result, magnitudes, weights.n, groups);
    if (result.bound <= std::numeric_limits<std::int32_t>::max()) {
      return result;
    }
  }
}

template <typename T>
QuantizedWeights quantize(std::span<const T> weights, std::int64_t n, std::int64_t k,
                          const QuantizeOptions& options) {
  FT_KERNEL_CHECK(static_cast<std::int64_t>(weights.size()) == n * k);
  FT_KERNEL_CHECK(options.bits >= 2 && options.bits <= 8);
  QuantizedWeights result{n, k, options.bits, options.group, {}, {}};
  result.values.resize(weights.size());
  result.scales.reserve(static_cast<std::size_t>(n * result.groups()));
  const int limit = weight_limit(options.bits);
  std::vector<float> group;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t first = 0; first < k; first += result.group_size()) {
      const std::int64_t last = std::min(k, first + result.group_size());
      group.clear();
      for (std::int64_t col = first; col < last; ++col) {
        group.push_back(to_float(weights[static_cast<std::size_t>(row * k + col)]));
      }
      const float scale = choose_scale(group, limit, options.search_clipping);
      result.scales.push_back(scale);
      for (std::int64_t col = first; col < last; ++col) {
        const float level = std::nearbyint(group[static_cast<std::size_t>(col - first)] / scale);
        result.values[static_cast<std::size_t>(row * k + col)] = static_cast<std::int8_t>(
            std::clamp(level, static_cast<float>(-limit), static_cast<float>(limit)));
      }
    }
  }
  return result;
}

}  // namespace

QuantizedWeights quantize_weights(std::span<const float> weights, std::int64_t n, std::int64_t k,
                                  const QuantizeOptions& options) {
  return quantize(weights, n, k, options);
}

QuantizedWeights quantize_weights(std::span<const Bf16> weights, std::int64_t n, std::int64_t k,
                                  const QuantizeOptions& options) {
  return quantize(weights, n, k, options);
}

IntegerScales choose_integer_scales(const QuantizedWeights& weights) {
  constexpr double kCoarsest = 0.01;
  const std::vector<std::int64_t> magnitudes = group_magnitudes(weights);
  IntegerScales best = largest_alpha(weights, magnitudes, 1);
  for (int splits = 2; best.rms_error > kCoarsest && splits <= weights.groups(); splits *= 2) {
    best = largest_alpha(weights, magnitudes, splits);
  }
  return best;
}

QuantizedActivations quantize_activations(std::span<const float> activations, std::int64_t m,
                                          std::int64_t k) {
  FT_KERNEL_CHECK(static_cast<std::int64_t>(activations.size()) == m * k);
  QuantizedActivations result{m, k, std::vector<std::int8_t>(activations.size()), {}};
  for (std::int64_t row = 0; row < m; ++row) {
    const auto token =
        activations.subspan(static_cast<std::size_t>(row * k), static_cast<std::size_t>(k));
    const float scale = choose_scale(token, kActivationLimit, false);
    result.scales.push_back(scale);
    for (std::int64_t col = 0; col < k; ++col) {
      const float level = std::nearbyint(token[static_cast<std::size_t>(col)] / scale);
      result.values[static_cast<std::size_t>(row * k + col)] = static_cast<std::int8_t>(std::clamp(
          level, static_cast<float>(-kActivationLimit), static_cast<float>(kActivationLimit)));
    }
  }
  return result;
}

float Fp8Matrix::scale_at(std::int64_t row, std::int64_t column) const {
  switch (scale) {
    case ScaleKind::per_channel:
      return scales[static_cast<std::size_t>(row)];
    case ScaleKind::block_128:
      return scales[static_cast<std::size_t>(row / block_rows * k_blocks() + column / 128)];
    default:
      return scales[0];
  }
}

Fp8Matrix quantize_fp8(std::span<const float> values, std::int64_t rows, std::int64_t k,
                       ScaleKind scale, std::int64_t block_rows) {
  FT_KERNEL_CHECK(static_cast<std::int64_t>(values.size()) == rows * k);
  Fp8Matrix result{rows, k, scale, block_rows, {}, {}};
  const std::int64_t high = scale == ScaleKind::per_tensor    ? rows
                            : scale == ScaleKind::per_channel ? 1
                                                              : block_rows;
  const std::int64_t wide = scale == ScaleKind::block_128 ? 128 : k;
  for (std::int64_t row = 0; row < rows; row += high) {
    for (std::int64_t col = 0; col < k; col += wide) {
      float largest = 0;
      for (std::int64_t r = row; r < std::min(rows, row + high); ++r) {
        largest = std::max(largest, largest_magnitude(values.subspan(
                                        static_cast<std::size_t>(r * k + col),
                                        static_cast<std::size_t>(std::min(wide, k - col)))));
      }
      result.scales.push_back(std::max(largest / kFp8E4m3Max, std::numeric_limits<float>::min()));
    }
  }
  result.values.reserve(values.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < k; ++col) {
      result.values.push_back(
          to_fp8_e4m3(values[static_cast<std::size_t>(row * k + col)] / result.scale_at(row, col)));
    }
  }
  return result;
}

}  // namespace foretoken::kernels
