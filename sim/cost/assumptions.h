// What is assumed where a profile says nothing. Every use makes the result `assumed`.
#pragma once

namespace foretoken::assumed {

// Median share of the datasheet peak that libraries reach on public H100 tables for large GEMMs
// (ai-dynamo/aiconfigurator, N and K from 4096 up): bf16 77-80 %, fp8 45-62 %.
inline constexpr double kEfficiency16 = 0.78;
inline constexpr double kEfficiency8 = 0.5;
inline constexpr double kBandwidthEfficiency = 0.85;

// Smallest latencies in the same tables: 2 to 4 us for a GEMM, 8 to 15 us for an attention call, 2
// to 4 us for an elementwise kernel.
inline constexpr double kGemmT0 = 3e-6;
inline constexpr double kAttentionT0 = 8e-6;
inline constexpr double kElementwiseT0 = 2.5e-6;
// Fused attention reaches about half of the bf16 peak in prefill on the same GPUs.
inline constexpr double kPrefillEfficiency = 0.5;
inline constexpr double kDecodeBandwidthEfficiency = 0.7;

// Collectives: large NCCL rings reach about 0.8 of the link; eight H100 take about 20 us for a
// small all-reduce of 14 steps (ai-dynamo/aiconfigurator, nccl tables).
inline constexpr double kLinkEfficiency = 0.8;
inline constexpr double kCollectiveT0 = 5e-6;
inline constexpr double kCollectiveStep = 1e-6;

// Spreads of the logarithm. A roofline with such numbers misses public GEMM tables by 18 % on
// average.
inline constexpr double kSdFamily = 0.15;
inline constexpr double kSdShape = 0.12;
inline constexpr double kSdDistance = 0.08;  // per doubling of distance to the nearest sample
inline constexpr double kSdCollective = 0.2;
inline constexpr double kSdHost = 0.2;

}  // namespace foretoken::assumed
