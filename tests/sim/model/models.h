// Shapes of public models, as their config.json state them, and access to operators by name.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "sim/model/graph_builder.h"
#include "sim/spec/model.h"

namespace foretoken::testing {

inline ModelSpec dense(std::string name, int layers, std::int64_t hidden, int heads, int kv_heads,
                       int head_dim, std::int64_t intermediate, std::int64_t vocab) {
  ModelSpec model;
  model.name = std::move(name);
  model.layers = layers;
  model.hidden = hidden;
  model.heads = heads;
  model.kv_heads = kv_heads;
  model.head_dim = head_dim;
  model.intermediate = intermediate;
  model.vocab = vocab;
  model.max_positions = 8192;
  return model;
}

inline ModelSpec llama_8b() { return dense("llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256); }
inline ModelSpec llama_70b() { return dense("llama-3.1-70b", 80, 8192, 64, 8, 128, 28672, 128256); }
inline ModelSpec llama_405b() {
  return dense("llama-3.1-405b", 126, 16384, 128, 8, 128, 53248, 128256);
}
inline ModelSpec llama2_7b() { return dense("llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000); }
inline ModelSpec qwen3_8b() {
  ModelSpec model = dense("qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936);
  model.qk_norm = true;
  return model;
}
inline ModelSpec qwen3_32b() {
  ModelSpec model = dense("qwen3-32b", 64, 5120, 64, 8, 128, 25600, 151936);
  model.qk_norm = true;
  return model;
}
inline ModelSpec qwen25_7b() {
  ModelSpec model = dense("qwen2.5-7b", 28, 3584, 28, 4, 128, 18944, 152064);
  model.qkv_bias = true;
  return model;
}
inline ModelSpec gemma2_9b() {
  ModelSpec model = dense("gemma-2-9b", 42, 3584, 16, 8, 256, 14336, 256000);
  model.tied_embeddings = true;
  model.post_norms = true;
  model.sliding_window = 4096;
  model.window_every = 2;
  return model;
}

inline ParallelSpec tensor(int ranks, int stages = 1) {
  ParallelSpec parallel;
  parallel.tensor = ranks;
  parallel.pipeline = stages;
  return parallel;
}

inline BatchShape prefill(std::int64_t new_tokens, std::int64_t context = 0) {
  BatchShape batch;
  batch.prefill = {{new_tokens, context}};
  batch.rows = 1;
  return batch;
}

inline BatchShape decode(std::int64_t sequences, std::int64_t kv_tokens) {
  BatchShape batch;
  batch.decode_sequences = sequences;
  batch.decode_kv_tokens = kv_tokens;
  batch.decode_kv_tokens_windowed = kv_tokens;
  batch.rows = sequences;
  return batch;
}

// All operators of a graph called `name`, each `repeat` times.
inline std::vector<Operator> all(const StepGraph& graph, const std::string& name) {
  std::vector<Operator> found;
  for (const Segment& segment : graph.segments) {
    for (int i = 0; i < segment.repeat; ++i) {
      for (const Operator& op : segment.operators) {
        if (op.name == name) {
          found.push_back(op);
        }
      }
    }
  }
  return found;
}

inline GemmOp first_gemm(const StepGraph& graph, const std::string& name) {
  return std::get<GemmOp>(all(graph, name).at(0).what);
}

inline ElementwiseOp first_elementwise(const StepGraph& graph, const std::string& name) {
  return std::get<ElementwiseOp>(all(graph, name).at(0).what);
}

inline std::vector<std::string> names(const Segment& segment) {
  std::vector<std::string> found;
  for (const Operator& op : segment.operators) {
    found.push_back(op.name);
  }
  return found;
}

}  // namespace foretoken::testing
