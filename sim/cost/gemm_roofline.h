// The closed form under the GEMM model. Pure arithmetic: calibrate/fit fits exactly this.
#pragma once

#include <array>
#include <cstdint>

#include "sim/model/operator.h"

namespace foretoken {

// t = t0 + max(wave-quantised compute, bytes / bandwidth). Units: s, op/s, bytes/s. On devices with
// waves the maximum is a smooth one. The constants of the .cpp were chosen on the public tables of
// ai-dynamo/aiconfigurator for H100, H200, A100 and L40S (reports/published/cost-models.md).
//
// Wave quantisation: an m x n output is cut into tiles, `sms` of which run at once; the last,
// partly filled wave takes as long as a full one. Tile and split of k are those that give the least
// time, from a small table. One core (sms = 1) has no waves and pays 2mnk / peak.
//
// The integer tensor-core kernels of TensorRT-LLM do not split k: they take at least k x per_depth,
// however few tiles there are. A few rows (vector_rows) run as matrix x vector, which does not.
struct GemmRoofline {
  double t0 = 0;
  double peak = 0;       // op/s reached by large GEMMs
  double bandwidth = 0;  // bytes/s reached
  int sms = 1;
  double per_depth = 0;  // s
  double seconds(const GemmOp& op) const;
};

// Most rows that run as matrix x vector: 4 with integer activations, 15 with integer weights alone,
// none where weights are floats.
std::int64_t vector_rows(const GemmOp& op);

// Coordinates for the residuals: sizes, and which of the two kinds of kernel.
inline constexpr std::size_t kGemmAxes = 4;
std::array<double, kGemmAxes> gemm_axes(const GemmOp& op);

}  // namespace foretoken
