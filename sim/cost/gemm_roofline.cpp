#include "sim/cost/gemm_roofline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/core/units.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

struct Tile {
  int m, n;
  double rate;  // of the peak: a smaller tile loads more operand bytes for each operation
};
constexpr std::array kTiles{Tile{128, 256, 1.0}, Tile{128, 128, 0.98}, Tile{64, 256, 0.98},
                            Tile{64, 128, 0.92}, Tile{64, 64, 0.82},   Tile{64, 32, 0.6}};
constexpr std::array<std::int64_t, 4> kSplits{1, 2, 4, 8};

// Below this depth a block's prologue and epilogue outweigh its work, so k is not split further.
constexpr std::int64_t kLeastDepth = 256;

// Loads and arithmetic overlap, but not perfectly where both take as long: (a^4 + b^4)^(1/4), which
// is the larger of the two elsewhere.
double overlapped(double compute, double memory) {
  const double a = compute * compute;
  const double b = memory * memory;
  return std::sqrt(std::sqrt(a * a + b * b));
}

}  // namespace

double GemmRoofline::seconds(const GemmOp& op) const {
  const double bytes = gemm_bytes(op);
  if (sms <= 1) {
    return t0 + std::max(gemm_flops(op) / peak, bytes / bandwidth);
  }
  double best = std::numeric_limits<double>::infinity();
  for (const Tile& tile : kTiles) {
    const std::int64_t tiles = ceil_div(op.m, tile.m) * ceil_div(op.n, tile.n);
    for (const std::int64_t split : kSplits) {
      if (split > 1 && op.k / split < kLeastDepth) {
        break;
      }
      const auto waves = static_cast<double>(ceil_div(tiles * split, sms));
      const double depth = static_cast<double>(op.k) / static_cast<double>(split);
      const double compute = waves * sms * 2.0 * tile.m * tile.n * depth / (peak * tile.rate);
      // Split k writes and reads fp32 partial sums.
      const double partial = split == 1
                                 ? 0.0
                                 : 8.0 * static_cast<double>(op.m) * static_cast<double>(op.n) *
                                       static_cast<double>(split);
      best = std::min(best, overlapped(compute, (bytes + partial) / bandwidth));
    }
  }
  if (per_depth > 0 && vector_rows(op) > 0 && op.m > vector_rows(op)) {
    best = overlapped(best, per_depth * static_cast<double>(op.k));
  }
  return t0 + best;
}

std::int64_t vector_rows(const GemmOp& op) {
  if (!op.weights.quantised() || op.weights.kind != Format::Kind::integer) {
    return 0;
  }
  return op.activations.kind == Format::Kind::integer ? 4 : 15;
}

std::array<double, kGemmAxes> gemm_axes(const GemmOp& op) {
  return {std::log2(static_cast<double>(op.m)), std::log2(static_cast<double>(op.n)),
          std::log2(static_cast<double>(op.k)),
          vector_rows(op) > 0 && op.m > vector_rows(op) ? 1.0 : 0.0};
}

}  // namespace foretoken
