// Numeric error measured with the real kernels: the GEMMs of kernels/gemm and the collectives of
// kernels/collective, whose ranks are threads here.
//
// Synthetic data, reproducible from the seed: weights N(0, 1); inputs of a GEMM with one channel in
// 128 twenty times larger; inputs of an all-reduce with spikes of 500 to 5,600 in 4 of 4,096
// channels (Super Experts, arXiv 2507.23279). All are rounded to bf16 first, which is what a model
// holds. Eight samples of each; an interval is the central 90 % of the samples apart.
#pragma once

#include <memory>

#include "sim/plan/error_probe.h"

namespace foretoken::quality {

// Throws InputError where a file of the options cannot be read or does not suit: weights are a
// matrix [n][k]; activations have the same k in their last dimension.
std::unique_ptr<ErrorProbe> make_kernel_error_probe(const ErrorProbeOptions& options);

}  // namespace foretoken::quality
