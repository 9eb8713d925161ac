// What a model is: shapes from a Hugging Face config.json or from scenarios/models/NAME.yaml.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken {

struct MoeSpec {
  int experts = 0;  // 0: dense
  int active = 0;   // experts per token
  std::int64_t intermediate = 0;
  int shared_experts = 0;
  int first_dense_layers = 0;
  bool operator==(const MoeSpec&) const = default;
};

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434); kv_lora_rank 0 means plain
// attention.
struct MlaSpec {
  int kv_lora_rank = 0;
  int q_lora_rank = 0;
  int qk_nope_dim = 0;
  int qk_rope_dim = 0;
  int v_head_dim = 0;
  bool operator==(const MlaSpec&) const = default;
};

struct ModelSpec {
  std::string name;
  std::string source;  // where the numbers come from
  int layers = 0;
  std::int64_t hidden = 0;
  int heads = 0;     // query heads
  int kv_heads = 0;  // = heads for MHA
  int head_dim = 0;
  std::int64_t intermediate = 0;
  std::int64_t vocab = 0;
  std::int64_t max_positions = 0;
  bool gated_mlp = true;  // gate and up projection, SiLU-multiply; otherwise one up projection
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool post_norms = false;  // a second norm after attention and after the MLP (Gemma-2, Gemma-3)
  bool parallel_blocks = false;     // attention and MLP read the same norm and are added (Falcon)
  std::int64_t sliding_window = 0;  // 0: full attention
  int window_every =
      1;  // of each `window_every` layers, all but the last use the window (Gemma-2: 2)
  MoeSpec moe;
  MlaSpec mla;

  bool is_moe() const { return moe.experts > 0; }
  bool is_mla() const { return mla.kv_lora_rank > 0; }
  // Layers i with a window: window > 0 and (window_every == 1 or (i + 1) % window_every != 0).
  bool windowed(int layer) const {
    return sliding_window > 0 && (window_every <= 1 || (layer + 1) % window_every != 0);
  }
  bool operator==(const ModelSpec&) const = default;
};

}  // namespace foretoken
