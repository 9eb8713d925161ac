// Operator tables as ai-dynamo/aiconfigurator keeps them, as CSV with latencies in microseconds.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/model/operator.h"
#include "sim/spec/profile.h"

namespace foretoken::importer {

// dtype,m,n,k,latency_us -> samples by profile name: bfloat16 "gemm.bf16", fp8 "gemm.fp8",
// fp8_block "gemm.fp8/g128", nvfp4 "gemm.fp4/g16", int8_wo "gemm.w8a16", int4_wo "gemm.w4a16", sq
// "gemm.w8a8". Throws InputError naming file and line; an unknown dtype is one.
std::map<std::string, SampleTable> read_gemm_table(const std::string& path);

struct AttentionMeasurement {
  AttentionOp op;
  Format compute;  // of queries and arithmetic
  std::int64_t batch = 0;
  std::int64_t tokens = 0;  // of each: of the prompt, or cached (the op's are cut to the window)
  double seconds = 0;
};

// attn_dtype,kv_dtype,head_dim,q_heads,kv_heads,window,batch,isl,latency_us (context attention:
// `batch` prompts of `isl` tokens) or ...,batch,kv_len,latency_us (generation: `batch` rows over
// kv_len tokens).
std::vector<AttentionMeasurement> read_attention_table(const std::string& path);

// Attention of a latent cache (DeepSeek's MLA): prefill of `batch` prompts of `tokens`, or decode
// of `batch` rows over `tokens` cached ones.
struct LatentAttentionMeasurement {
  bool decode = false;
  Format kv_cache = kBf16;
  std::int64_t heads = 0;  // of the rank
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  double seconds = 0;
};
// mla_dtype,kv_dtype,num_heads,tp_size,batch,isl,step,latency_us. A step is the number of tokens
// cached before: 0 in prefill tables; decode rows have isl 1.
std::vector<LatentAttentionMeasurement> read_latent_attention_table(const std::string& path);

// One fused mixture-of-experts call.
struct MoeMeasurement {
  std::string model;
  std::int64_t hidden = 0, inter = 0, chosen = 0, experts = 0;  // of the whole layer
  std::int64_t tensor = 1, expert = 1;                          // parallel degrees
  std::string format;                                           // a GEMM's name: "bf16", "fp8"
  double skew = 0;  // exponent of the power law of expert loads; 0: balanced
  std::int64_t tokens = 0;
  double seconds = 0;
};
// model,hidden,inter,topk,experts,dtype,moe_tp,moe_ep,distribution,num_tokens,latency_us
std::vector<MoeMeasurement> read_moe_table(const std::string& path);

// dtype,m,k,latency_us -> activation quantisation of m rows of k values: shape m, k. The table does
// not say which of the kernels it timed; the file's name does.
SampleTable read_quantise_table(const std::string& path);

struct AllReduceMeasurement {
  std::string system;     // "h100_sxm"
  std::string framework;  // "nccl", "trtllm", "vllm", "sglang"
  std::string version;
  std::string backend;    // of a framework: "vllm_graph"; empty for NCCL
  std::string operation;  // "all_reduce", "all_gather", ...
  int element_bytes = 0;
  int ranks = 0;
  std::int64_t bytes = 0;  // as nccl-tests counts: the full vector
  double seconds = 0;
};

// system,nccl_version,op,dtype,num_gpus,elements,bytes,latency_us or
// system,framework,version,backend,dtype,num_gpus,elements,bytes,latency_us. Rows whose bytes are
// not elements times the width of the type are refused: message sizes that count elements are a
// known trap.
std::vector<AllReduceMeasurement> read_collective_table(const std::string& path);

}  // namespace foretoken::importer
