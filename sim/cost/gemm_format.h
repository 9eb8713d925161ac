// Names of GEMM formats in profiles, and where the numbers of a format nobody calibrated come from.
//
//   fp32 | bf16 | fp16                     weights and activations alike
//   fp8[/gG] | fp4[/gG]                    likewise, G from the weights
//   wBaA[/gG][/integer-scale]              integer weights of B bits; A is 16, 8 or fp8
//   wfp8a16[/gG] | wfp4a16[/gG] | wfp4afp8[/gG] | ...   float weights narrower than the activations
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/spec/format.h"

namespace foretoken {

// The name under which a GEMM's numbers stand in a profile: "bf16", "fp8", "w8a8", "w4a16",
// "w4a16/g128", "w4a8", "w4a8/g128/integer-scale".
std::string gemm_format_name(const Format& weights, const Format& activations);

struct GemmFormats {
  Format weights;
  Format activations;
};
// The inverse; nothing when the text is not such a name.
std::optional<GemmFormats> parse_gemm_format_name(std::string_view name);

// Names to look under, best first: the name itself, the name with fewer options, then the format in
// which the arithmetic is done (w4a16 computes in bf16, w4a8 in int8).
std::vector<std::string> gemm_format_fallbacks(const Format& weights, const Format& activations);

}  // namespace foretoken
