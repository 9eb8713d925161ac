// How much work an operator is: operations and bytes. Pure counting, no rates.
#pragma once

#include <cstdint>

#include "sim/model/operator.h"

namespace foretoken {

inline constexpr double kBytesInMemory = 2;  // activations in memory are bf16

double gemm_flops(const GemmOp& op);
// Weights, activations and output, each moved once.
double gemm_bytes(const GemmOp& op);

// Pairs of query and key that causal attention visits: for each new token its window, itself
// included.
double attended_pairs(const PrefillChunk& chunk, std::int64_t window);

// 4 x heads x head_dim operations a pair: 2 for the score and 2 for the weighted sum.
double prefill_flops(const AttentionOp& op);
double prefill_bytes(const AttentionOp& op);
double decode_bytes(const AttentionOp& op);
// Keys and values of decode when each query head reads its own.
double per_head_bytes(const AttentionOp& op);

}  // namespace foretoken
