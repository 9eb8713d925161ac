// Request traces. The format is recognised by the header:
//   TIMESTAMP,ContextTokens,GeneratedTokens        Azure LLM inference trace, wall-clock timestamps
//   arrival_s,input_tokens,output_tokens           plain, seconds
//   input_tokens,output_tokens                     plain, lengths only
//   num_prefill_tokens,num_decode_tokens,...       Vidur, lengths only
//   {"timestamp": ms, "input_length": .., "output_length": .., ...}   Mooncake, JSON lines
// Lines that start with '#' are comments. Arrivals are returned relative to the first one.
#pragma once

#include <string>
#include <string_view>

#include "sim/spec/request.h"

namespace foretoken::config {

// Throws InputError naming file and line of the first broken line.
Trace read_trace(const std::string& path);
Trace parse_trace(std::string_view text, const std::string& file);

}  // namespace foretoken::config
