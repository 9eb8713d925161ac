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
  double seconds = 0;
};

// attn_dtype,kv_dtype,head_dim,q_heads,kv_heads,window,batch,isl,latency_us (context attention:
// `batch` prompts of `isl` tokens) or ...,batch,kv_len,latency_us (generation: `batch` rows over
// kv_len tokens).
std::vector<AttentionMeasurement> read_attention_table(const std::string& path);

struct AllReduceMeasurement {
  std::string system;     // "h100_sxm"
  std::string framework;  // "nccl", "trtllm", "vllm", "sglang"
  std::string version;
  std::string operation;  // "all_reduce", "all_gather", ...
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
