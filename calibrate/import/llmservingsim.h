// Kernel profiles of LLMServingSim (casys-kaist/LLMServingSim, profiler/perf): dense.csv with
// layer,tokens,time_us, per_sequence.csv with layer,sequences,time_us and attention.csv with
// prefill_chunk,kv_prefill,n_decode,kv_decode,time_us, for one model on one device at one tensor
// degree.
#pragma once

#include <string>

#include "sim/model/graph_builder.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

// `prefix`: the path up to "attention.csv". `builder` has the model and tensor degree that were
// measured: a layer's rows become samples of the operators it stands for. The cache write is inside
// the attention rows. Throws InputError with file and line.
Profile import_llmservingsim(const std::string& prefix, const GraphBuilder& builder);

}  // namespace foretoken::calibrate
