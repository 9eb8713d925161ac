// The GEMMs of real models' layers, from their published configurations (Hugging Face config.json).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::kernels {

struct LayerGemm {
  std::string name;  // "llama-3.1-8b/qkv/tp2"
  std::int64_t n = 0, k = 0;
};

// qkv and gate_up are split along n, o and down along k, as tensor parallelism does. Splits that do
// not divide are left out.
std::vector<LayerGemm> layer_gemms();

}  // namespace foretoken::kernels
