// What the simulator says about a call that a sample of a profile timed.
#pragma once

#include <functional>
#include <string>

#include "sim/cost/cost_model.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

using SamplePrice = std::function<Estimate(const CostModel&, const Sample&)>;

// For the samples of this table (sim/spec/profile.h: "gemm.w8a8", "codec.quantise.int8/g128", ...);
// an empty function where no operator is priced from such a table alone. The result throws what
// the cost model throws; REQUIRES: a sample has its table's number of columns.
SamplePrice sample_price(const std::string& table);

// The call that an attention sample timed: heads, kv_heads, head_dim, window, batch, tokens.
AttentionOp attention_op(const Sample& sample, bool decode, const Format& kv_cache);

}  // namespace foretoken::calibrate
