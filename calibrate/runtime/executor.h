// Runs operator graphs of sim/model for real on one rank of a tensor group: packed weights, a paged
// KV cache, the kernels of kernels/, collectives over a transport. One thread, one core: what a
// profile of `foretoken calibrate` calls a device.
//
// The graph decides everything: operators run in its order, each as one kernel call (or the few
// that the operator stands for), with the formats it states. Attention reads its sequences from the
// step.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/runtime/step_input.h"
#include "calibrate/runtime/weights.h"
#include "kernels/codec/codec.h"
#include "kernels/collective/collective.h"
#include "kernels/gemm/cpu_gemm.h"
#include "kernels/layer/attention.h"
#include "kernels/layer/elementwise.h"
#include "kernels/layer/kv_cache.h"
#include "sim/model/graph_builder.h"

namespace foretoken::runtime {

// The kernels' names of a GEMM's formats. Throws InputError where there is no kernel.
kernels::GemmFormat kernel_format(const Format& weights, const Format& activations);

struct ExecutorLimits {
  std::int64_t kv_blocks = 0;  // of 16 tokens
  std::int64_t positions = 0;  // longest sequence
  // Later layers are copies of the first, in memory of their own: a model of random weights whose
  // times matter and whose tokens do not is ready sooner.
  bool alike_layers = false;
};

struct StepResult {
  StepGraph graph;
  std::vector<double> seconds;       // of each operator, segments written out, in order
  std::vector<std::int32_t> tokens;  // the likeliest next token of each sequence
};

// Calls `visit(op, seconds)` for every operator that ran.
template <class Visit>
void for_each_operator(const StepResult& result, Visit&& visit) {
  std::size_t at = 0;
  for (const Segment& segment : result.graph.segments) {
    for (int i = 0; i < segment.repeat; ++i) {
      for (const Operator& op : segment.operators) {
        visit(op, result.seconds[at++]);
      }
    }
  }
}

class Executor {
 public:
  // `transport` is null for one rank. Both must outlive this. Throws InputError for a model or a
  // layout whose operators have no kernel here.
  Executor(const GraphBuilder& builder, const WeightSource& weights, const ExecutorLimits& limits,
           kernels::Transport* transport);

  // Every rank is given the same input. REQUIRES: it is not empty.
  StepResult step(const StepInput& input);
  // Logits of the last step, [rows][vocabulary], whole on every rank.
  std::span<const float> logits() const { return {logits_.as<float>(), logit_count_}; }

 private:
  // Rows of 16-bit values in a buffer that only grows.
  struct Rows {
    kernels::PageBuffer memory;
    std::int64_t rows = 0, width = 0;
    void shape(std::int64_t r, std::int64_t w);
    kernels::Bf16* data() { return memory.as<kernels::Bf16>(); }
    std::span<kernels::Bf16> span() { return {data(), static_cast<std::size_t>(rows * width)}; }
  };
  // The rows of a step, prompts first.
  struct Batch {
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> positions;
    std::vector<kernels::SequenceView> prefill, decode;
    std::vector<std::int64_t> last_rows;  // of each sequence
    std::int64_t prefill_rows = 0;
  };

  void check_supported() const;
  void load(const WeightSource& weights, bool alike_layers);
  void load_layer(const WeightSource& weights, int index);
  kernels::PackedWeights pack(const WeightSource& weights, const std::vector<std::string>& names,
                              const std::vector<TensorPart>& parts, const Format& format) const;
  int rank() const { return transport_ == nullptr ? 0 : transport_->rank(); }
  int ranks() const { return transport_ == nullptr ? 1 : transport_->ranks(); }

  void run(const Operator& op, const Batch& batch);
  void run_elementwise(const std::string& name, const Batch& batch);
  void run_gemm(const std::string& name, const GemmOp& op);
  void run_attention(const AttentionOp& op, const Batch& batch);
  void run_collective(const CollectiveOp& op);
  void embed(const Batch& batch);
  void rotate(const Batch& batch);
  void write_cache(const Batch& batch);
  void add_and_norm();
  void sample();
  kernels::Collective& collective(const CollectiveOp& op);
  static Batch arrange(const StepInput& input);

  const GraphBuilder& builder_;
  kernels::Transport* transport_;
  kernels::WorkerPool pool_{1};
  kernels::CpuGemm gemm_{pool_};
  kernels::RotaryTable rotary_;

  struct Layer {
    kernels::PackedWeights qkv, o, up, down;
    kernels::PagedKvCache cache;
  };
  std::vector<Layer> layers_;
  std::vector<std::vector<kernels::Bf16>> norms_;  // in the order of use
  std::vector<kernels::Bf16> table_;               // of embeddings: this rank's rows
  kernels::PackedWeights lm_head_;

  // State of the step at hand.
  std::size_t layer_ = 0, norm_ = 0;
  Rows residual_, normed_, wide_, queries_, narrow_, projected_, head_;
  Rows* current_ = nullptr;  // what the next operator reads
  kernels::Int8Rows int8_;
  bool quantised_ = false;  // the next GEMM reads int8_
  std::vector<std::int32_t> next_tokens_;
  Rows gathered_;
  kernels::PageBuffer logits_;
  std::size_t logit_count_ = 0;
  // Prepared once per kind, size and format.
  std::map<std::pair<std::string, std::int64_t>, std::unique_ptr<kernels::Collective>> collectives_;
};

}  // namespace foretoken::runtime
