// Random operands of a GEMM for timing: never zeros, which run faster on some hardware.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gemm/cpu_gemm.h"
#include "kernels/gemm/packed_weights.h"

namespace foretoken::kernels {

struct BenchOperands {
  std::vector<std::uint8_t> activations;  // of the descriptor's type
  std::vector<float> scales;
  std::vector<std::uint8_t> raw_weights;  // row-major int8 or bf16, for libraries; else empty
  PackedWeights weights;

  GemmActivations view() const { return {activations.data(), scales.data()}; }
};

BenchOperands make_bench_operands(const GemmDescriptor& descriptor, std::uint64_t seed);
PackedWeights clone(const PackedWeights& weights);

}  // namespace foretoken::kernels
