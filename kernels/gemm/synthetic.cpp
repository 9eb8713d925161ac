#include "kernels/gemm/synthetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace foretoken::kernels {

std::string to_string(SyntheticKind kind) {
  switch (kind) {
    case SyntheticKind::normal:
      return "normal";
    case SyntheticKind::heavy_tailed:
      return "heavy_tailed";
    case SyntheticKind::outlier_channels:
      return "outlier_channels";
  }
  return "";
}

std::uint64_t SyntheticRandom::next() {
  state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// Box and Muller.
double SyntheticRandom::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::vector<float> synthetic_matrix(SyntheticKind kind, std::int64_t rows, std::int64_t k,
                                    std::uint64_t seed) {
  constexpr int kFreedom = 4;
  SyntheticRandom random(seed);
  std::vector<bool> outlier(static_cast<std::size_t>(k));
  for (std::int64_t i = 0; i < std::max<std::int64_t>(1, k / 128); ++i) {
    outlier[static_cast<std::size_t>(random.between(0, k - 1))] = true;
  }
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(rows * k));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < k; ++col) {
      double value = random.normal();
      if (kind == SyntheticKind::heavy_tailed) {
        double chi_squared = 0;
        for (int i = 0; i < kFreedom; ++i) {
          const double x = random.normal();
          chi_squared += x * x;
        }
        value /= std::sqrt(chi_squared / kFreedom);
      } else if (kind == SyntheticKind::outlier_channels &&
                 outlier[static_cast<std::size_t>(col)]) {
        value *= 20;
      }
      values.push_back(static_cast<float>(value));
    }
  }
  return values;
}

}  // namespace foretoken::kernels
