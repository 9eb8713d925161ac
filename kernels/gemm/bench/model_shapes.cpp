#include "kernels/gemm/bench/model_shapes.h"

namespace foretoken::kernels {
namespace {

const ModelSlice kModels[] = {
    // name, hidden, heads, key-value heads, intermediate, values of a head
    {"llama-3.1-8b", 4096, 32, 8, 14336, 128},
    {"llama-3.1-70b", 8192, 64, 8, 28672, 128},
    {"llama-2-13b", 5120, 40, 40, 13824, 128},
    {"qwen2.5-32b", 5120, 40, 8, 27648, 128},
};

}  // namespace

std::vector<ModelSlice> model_slices() {
  std::vector<ModelSlice> slices;
  for (const ModelSlice& model : kModels) {
    for (const int tp : {1, 2, 4, 8}) {
      if (model.heads % tp != 0 || model.kv_heads % tp != 0 || model.intermediate % tp != 0) {
        continue;
      }
      slices.push_back({model.name + "/tp" + std::to_string(tp), model.hidden, model.heads / tp,
                        model.kv_heads / tp, model.intermediate / tp, model.head_dim});
    }
  }
  return slices;
}

std::vector<LayerGemm> layer_gemms() {
  std::vector<LayerGemm> gemms;
  for (const ModelSlice& slice : model_slices()) {
    const std::int64_t attention = slice.heads * slice.head_dim;
    const std::int64_t qkv = attention + 2 * slice.kv_heads * slice.head_dim;
    gemms.push_back({slice.name + "/qkv", qkv, slice.hidden});
    gemms.push_back({slice.name + "/o", slice.hidden, attention});
    gemms.push_back({slice.name + "/gate_up", 2 * slice.intermediate, slice.hidden});
    gemms.push_back({slice.name + "/down", slice.hidden, slice.intermediate});
  }
  return gemms;
}

}  // namespace foretoken::kernels
