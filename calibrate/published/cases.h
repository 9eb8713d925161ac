// The public tables that cost models are tested on: which file, which device, which target.
#pragma once

namespace foretoken::calibrate {

inline constexpr double kAttentionTarget = 0.10, kMoeTarget = 0.15, kCollectiveTarget = 0.06;

struct Device {
  const char* name;
  const char* profile;  // below calibrate/profiles
  int sms;
  bool intervals;  // its intervals have a target
};
inline constexpr Device kA100{"A100 SXM", "a100-sxm-80gb", 108, true};
inline constexpr Device kH100{"H100 SXM", "h100-sxm", 132, true};
inline constexpr Device kH200{"H200 SXM", "h200-sxm", 132, false};
inline constexpr Device kB200{"B200 SXM", "b200-sxm", 148, false};
inline constexpr Device kL40s{"L40S", "l40s", 142, true};
inline constexpr Device kRtxPro{"RTX PRO 6000", "rtx-pro-6000", 188, true};

struct TableCase {
  const char* file;
  const Device* device;
  const char* format;
  double target_mean = 0, target_p90 = 0;
};
inline constexpr TableCase kGemmCases[] = {
    {"gemm/h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "bf16", 0.07, 0.20},
    {"gemm/h200_sxm_trtllm_1.3.0rc20.csv", &kH200, "bf16", 0.07, 0.20},
    {"gemm/h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "fp8", 0.09},
    {"gemm/h200_sxm_trtllm_1.3.0rc20.csv", &kH200, "fp8", 0.09},
    {"gemm/a100_sxm_trtllm_1.0.0.csv", &kA100, "w4a16", 0.10},
    {"gemm/h200_sxm_trtllm_1.2.0rc5_weightonly.csv", &kH200, "w4a16", 0.10},
    {"gemm/l40s_trtllm_1.0.0_weightonly.csv", &kL40s, "w4a16", 0.10},
    {"gemm/a100_sxm_trtllm_1.0.0.csv", &kA100, "w8a8", 0.10},
    {"gemm/h200_sxm_trtllm_1.2.0rc5_weightonly.csv", &kH200, "w8a8", 0.10},
    {"gemm/l40s_trtllm_1.0.0_weightonly.csv", &kL40s, "w8a8", 0.10},
    {"gemm/a100_sxm_trtllm_1.0.0.csv", &kA100, "bf16"},
    {"gemm/l40s_trtllm_1.3.0rc20.csv", &kL40s, "bf16"},
    {"gemm/l40s_trtllm_1.3.0rc20.csv", &kL40s, "fp8"},
    {"gemm/rtx_pro_6000_trtllm_1.3.0rc20.csv", &kRtxPro, "bf16"},
    {"gemm/rtx_pro_6000_trtllm_1.3.0rc20.csv", &kRtxPro, "fp8"},
};

// Files below attention/ after "context_" and "generation_"; format of the cache.
inline constexpr TableCase kAttentionCases[] = {
    {"h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "bf16", kAttentionTarget},
    {"h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "fp8", kAttentionTarget},
    {"h100_sxm_vllm_0.24.0.csv", &kH100, "bf16", kAttentionTarget},
    {"h200_sxm_trtllm_1.3.0rc20.csv", &kH200, "bf16", kAttentionTarget},
    {"b200_sxm_trtllm_1.3.0rc20.csv", &kB200, "bf16", kAttentionTarget},
    {"a100_sxm_vllm_0.14.0.csv", &kA100, "bf16", kAttentionTarget},
    {"l40s_trtllm_1.3.0rc20.csv", &kL40s, "bf16", kAttentionTarget},
    {"rtx_pro_6000_server_trtllm_1.3.0rc20.csv", &kRtxPro, "bf16", kAttentionTarget},
};
// After "mla_context_" and "mla_generation_".
inline constexpr TableCase kLatentCases[] = {
    {"h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "bf16"},
    {"h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "fp8"},
    {"h200_sxm_trtllm_1.3.0rc20.csv", &kH200, "bf16"},
};
inline constexpr TableCase kMoeCases[] = {
    {"moe/h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "bf16", kMoeTarget},
    {"moe/h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "fp8", kMoeTarget},
    {"moe/h100_sxm_trtllm_1.3.0rc20.csv", &kH100, "fp8/g128", kMoeTarget},
    {"moe/h100_sxm_vllm_0.24.0.csv", &kH100, "bf16", kMoeTarget},
    {"moe/h200_sxm_trtllm_1.3.0rc20.csv", &kH200, "fp8", kMoeTarget},
    {"moe/a100_sxm_vllm_0.14.0.csv", &kA100, "bf16", kMoeTarget},
    {"moe/l40s_trtllm_1.3.0rc20.csv", &kL40s, "bf16", kMoeTarget},
    {"moe/l40s_trtllm_1.3.0rc20.csv", &kL40s, "fp8", kMoeTarget},
    {"moe/rtx_pro_6000_server_trtllm_1.3.0rc20.csv", &kRtxPro, "bf16", kMoeTarget},
    {"moe/rtx_pro_6000_server_trtllm_1.3.0rc20.csv", &kRtxPro, "fp8", kMoeTarget},
};

struct CollectiveCase {
  const char* system;
  const char* framework;  // or "nccl"
  const char* backend;    // rows that end in this
  const Device* device;
};
inline constexpr CollectiveCase kCollectiveCases[] = {
    {"a100_sxm", "nccl", "", &kA100},
    {"h100_sxm", "nccl", "", &kH100},
    {"h200_sxm", "nccl", "", &kH200},
    {"b200_sxm", "nccl", "", &kB200},
    {"l40s", "nccl", "", &kL40s},
    {"rtx_pro_6000_server", "nccl", "", &kRtxPro},
    {"a100_sxm", "trtllm", "TRTLLM", &kA100},
    {"a100_sxm", "vllm", "graph", &kA100},
    {"h100_sxm", "trtllm", "trtllm", &kH100},
    {"h100_sxm", "vllm", "graph", &kH100},
    {"h100_sxm", "sglang", "graph", &kH100},
    {"h200_sxm", "trtllm", "trtllm", &kH200},
    {"h200_sxm", "vllm", "graph", &kH200},
    {"b200_sxm", "trtllm", "trtllm", &kB200},
    {"l40s", "trtllm", "TRTLLM", &kL40s},
    {"l40s", "vllm", "graph", &kL40s},
    {"rtx_pro_6000_server", "trtllm", "trtllm", &kRtxPro},
    {"rtx_pro_6000_server", "vllm", "graph", &kRtxPro},
};

}  // namespace foretoken::calibrate
