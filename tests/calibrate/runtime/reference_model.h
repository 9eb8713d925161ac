// An independent forward pass of a Llama in fp32: no cache, no batches, no kernels of the project.
#pragma once

#include <cstdint>
#include <vector>

#include "calibrate/runtime/weights.h"
#include "sim/spec/model.h"

namespace foretoken::runtime {

// Logits after the last of `tokens`, computed from the first one on.
std::vector<double> reference_logits(const ModelSpec& model, const WeightSource& weights,
                                     const std::vector<std::int32_t>& tokens);

inline ModelSpec tiny_model() {
  ModelSpec model;
  model.name = "tiny";
  model.layers = 2;
  model.hidden = 128;
  model.heads = 4;
  model.kv_heads = 2;
  model.head_dim = 32;
  model.intermediate = 256;
  model.vocab = 256;
  model.max_positions = 512;
  return model;
}

}  // namespace foretoken::runtime
