#include "kernels/gemm/bench/model_shapes.h"

namespace foretoken::kernels {
namespace {

struct Model {
  const char* name;
  std::int64_t hidden, heads, kv_heads, head_dim, intermediate;
};

constexpr Model kModels[] = {
    {"llama-3.1-8b", 4096, 32, 8, 128, 14336},
    {"llama-3.1-70b", 8192, 64, 8, 128, 28672},
    {"llama-2-13b", 5120, 40, 40, 128, 13824},
    {"qwen2.5-32b", 5120, 40, 8, 128, 27648},
};

}  // namespace

std::vector<LayerGemm> layer_gemms() {
  std::vector<LayerGemm> gemms;
  for (const Model& model : kModels) {
    for (const int tp : {1, 2, 4, 8}) {
      if (model.heads % tp != 0 || model.kv_heads % tp != 0 || model.intermediate % tp != 0) {
        continue;
      }
      const auto add = [&](const char* layer, std::int64_t n, std::int64_t k) {
        gemms.push_back({std::string(model.name) + "/" + layer + "/tp" + std::to_string(tp), n, k});
      };
      add("qkv", (model.heads + 2 * model.kv_heads) * model.head_dim / tp, model.hidden);
      add("o", model.hidden, model.heads * model.head_dim / tp);
      add("gate_up", 2 * model.intermediate / tp, model.hidden);
      add("down", model.hidden, model.intermediate / tp);
    }
  }
  return gemms;
}

}  // namespace foretoken::kernels
