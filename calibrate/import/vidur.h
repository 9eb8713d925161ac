// Profiles of microsoft/vidur as CSV with times in milliseconds.
#pragma once

#include <map>
#include <string>

#include "sim/spec/profile.h"

namespace foretoken::importer {

// tp,num_tokens,emb_ms,...: layers of one model by tensor degree. Projections become "gemm.bf16"
// (vidur runs fp16, of the same width), passes over memory "elementwise.NAME" under our operators'
// names. The model's sizes stand in the first comment (n_head=64 n_kv_head=8 n_embd=8192
// n_expanded_embd=28672 ... gated=True). Throws InputError with file and line.
std::map<std::string, SampleTable> read_vidur_layers(const std::string& path);

// op,num_workers,devices_per_node,max_devices_per_node,size_raw,rank,min_ms,...: "all_reduce.bf16"
// or "send_recv.bf16", medians of runs within one node (runs across nodes are left out; their
// number is in the source). size_raw counts bytes; a row whose bus bandwidth no link reaches is
// refused, because then it counted elements, or the times are not milliseconds.
std::map<std::string, SampleTable> read_vidur_network(const std::string& path);

}  // namespace foretoken::importer
