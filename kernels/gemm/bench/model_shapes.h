// Layers of real models, from their published configurations (Hugging Face config.json), as one GPU
// of a tensor-parallel group sees them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::kernels {

struct ModelSlice {
  std::string name;  // "llama-3.1-8b/tp2"
  std::int64_t hidden = 0;
  // This GPU's share.
  std::int64_t heads = 0, kv_heads = 0, intermediate = 0;
  std::int64_t head_dim = 0;
};

// Every model at TP 1, 2, 4 and 8; splits that do not divide are left out.
std::vector<ModelSlice> model_slices();

struct LayerGemm {
  std::string name;  // "llama-3.1-8b/tp2/qkv"
  std::int64_t n = 0, k = 0;
};

// qkv and gate_up are split along n, o and down along k, as tensor parallelism does.
std::vector<LayerGemm> layer_gemms();

}  // namespace foretoken::kernels
