// Which format a weight module is stored in: PrecisionSpec's rules matched against module names.
//
// Names (vLLM's, without the leading "model."): embed_tokens, layers.I.self_attn.qkv_proj,
// layers.I.self_attn.o_proj, layers.I.mlp.gate_up_proj (plain MLP: layers.I.mlp.up_proj),
// layers.I.mlp.down_proj, lm_head. Norms and biases are always 16 bits wide.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/spec/model.h"
#include "sim/spec/scenario.h"

namespace foretoken {

// Glob over the whole name: `*` is any run of characters (dots too), `?` one character, and a path
// element `A-B` any whole number from A to B: "layers.0-1.*" is the first two layers.
bool matches_module(std::string_view pattern, std::string_view name);

std::string layer_module(int layer, std::string_view module);  // "layers.3.mlp.down_proj"
std::string_view up_module(const ModelSpec& model);  // "mlp.gate_up_proj" or "mlp.up_proj"

// The format of a module: the last rule that matches, else the default. Embedding tables are looked
// up, not multiplied, and no engine quantises them unasked: embed_tokens follows a quantised
// default only where a rule names it, and so does the lm_head of a model with tied embeddings,
// which is the same matrix.
Format weight_format(const PrecisionSpec& precision, const ModelSpec& model, std::string_view name);

// Throws InputError for a rule that matches no module of the model, naming the nearest that exists.
void check_rules(const PrecisionSpec& precision, const ModelSpec& model);

}  // namespace foretoken
