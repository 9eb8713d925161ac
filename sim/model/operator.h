// The operator graph of one step: one forward pass of a batch on one pipeline stage. The same graph
// is priced, simulated and executed, so nothing here serves only one of the three. All ranks of a
// tensor group run the same graph in step (SPMD); shapes are per rank.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/spec/format.h"

namespace foretoken {

enum class OpFamily : std::uint8_t {
  gemm,
  attention_prefill,
  attention_decode,
  elementwise,
  collective,
  send_recv,
  host
};
inline constexpr std::size_t kOpFamilyCount = 7;
inline constexpr std::array<std::string_view, kOpFamilyCount> kOpFamilyNames{
    "gemm", "attention_prefill", "attention_decode", "elementwise", "collective", "send_recv",
    "host"};

// out[m, n] = act[m, k] x weight[n, k]^T. `m` counts tokens (or sampled rows for lm_head).
struct GemmOp {
  std::int64_t m = 0, n = 0, k = 0;
  Format weights = kBf16;
  Format activations = kBf16;
  Format output = kBf16;
  bool static_scales = false;  // of the activations: they arrive quantised
};

// A chunk of a prompt: new tokens attending to `context` earlier ones and to themselves (causal).
struct PrefillChunk {
  std::int64_t new_tokens = 0;
  std::int64_t context = 0;
};

// Decode attention of `sequences` rows over `kv_tokens` cached tokens in all, or prefill attention
// of the chunks. Heads are per rank.
struct AttentionOp {
  bool decode = false;
  int heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  // 0: full
  Format kv_cache = kBf16;
  std::vector<PrefillChunk> chunks;  // prefill; decode: the prompts beside it in the same step
  std::int64_t sequences = 0;        // decode
  std::int64_t kv_tokens = 0;        // decode: sum over sequences, window applied
};

// One pass over memory: norm, rotary embedding, SiLU-multiply, residual add, quantisation,
// embedding.
struct ElementwiseOp {
  std::int64_t bytes_read = 0;
  std::int64_t bytes_written = 0;
};

enum class CollectiveKind : std::uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  send_recv
};
inline constexpr std::array<std::string_view, 5> kCollectiveKindNames{
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"};

// `values` per rank, uncompressed as bf16 in memory; `wire` is the format that travels.
struct CollectiveOp {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::int64_t values = 0;
  Format wire = kBf16;
};

// What an operator's cost depends on, besides the model. Lets the step simulation remember the part
// of a step that only depends on the number of tokens.
enum class DependsOn : std::uint8_t { tokens, rows, attention };

struct Operator {
  std::string name;  // module: "qkv_proj", "attention", "mlp.down_proj", "all_reduce"
  OpFamily family = OpFamily::gemm;
  DependsOn depends_on = DependsOn::tokens;
  std::variant<GemmOp, AttentionOp, ElementwiseOp, CollectiveOp> what;
};

// A run of identical layers: `operators` one after the other, `repeat` times.
struct Segment {
  std::string name;  // "embedding", "layers 0-31", "head"
  std::vector<Operator> operators;
  int repeat = 1;
};

struct StepGraph {
  std::vector<Segment> segments;
};

// What a step works on.
struct BatchShape {
  std::vector<PrefillChunk> prefill;
  std::int64_t decode_sequences = 0;
  std::int64_t decode_kv_tokens = 0;  // each sequence's cached tokens, the new one included
  std::int64_t decode_kv_tokens_windowed =
      0;                  // the same with each sequence cut to the model's window
  std::int64_t rows = 0;  // rows that reach lm_head and the sampler

  std::int64_t tokens() const {
    std::int64_t sum = decode_sequences;
    for (const PrefillChunk& chunk : prefill) {
      sum += chunk.new_tokens;
    }
    return sum;
  }
};

}  // namespace foretoken
