// Builds the operator graph of a dense decoder (MHA, GQA; gated or plain MLP; sliding window; QK
// norm) under tensor and pipeline parallelism, and answers how much memory the model takes.
//
// Tensor parallelism splits QKV and gate/up by columns and O and down by rows, with an all-reduce
// of tokens x hidden after each (Megatron-LM, arXiv 1909.08053). KV heads are replicated when there
// are fewer of them than ranks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/units.h"
#include "sim/model/operator.h"
#include "sim/spec/model.h"
#include "sim/spec/scenario.h"

namespace foretoken {

// First and one-past-last layer of each pipeline stage; as even as possible, the earlier stages
// larger.
std::vector<std::pair<int, int>> split_layers(int layers, int stages);

class GraphBuilder {
 public:
  // Throws InputError when the model cannot be laid out so: a degree that does not divide the
  // heads, more stages than layers, MoE or MLA (not built yet).
  GraphBuilder(ModelSpec model, PrecisionSpec precision, ParallelSpec parallel);

  int stages() const { return parallel_.pipeline; }
  const ModelSpec& model() const { return model_; }
  const PrecisionSpec& precision() const { return precision_; }
  const ParallelSpec& parallel() const { return parallel_; }

  // The graph of one stage. A stage that is not the last ends in a send to the next.
  StepGraph build(const BatchShape& batch, int stage) const;

  // Bytes per GPU, packed with scales; the largest stage counts.
  Bytes weight_bytes(int stage) const;
  Bytes weight_bytes() const;
  // Bytes of KV cache per token on one GPU of the fullest stage.
  Bytes kv_bytes_per_token() const;
  // Peak of live activations for a step of `tokens` tokens and `rows` logits.
  Bytes activation_bytes(std::int64_t tokens, std::int64_t rows) const;
  // Parameters of the whole model.
  std::int64_t parameter_count() const;

 private:
  ModelSpec model_;
  PrecisionSpec precision_;
  ParallelSpec parallel_;
};

}  // namespace foretoken
