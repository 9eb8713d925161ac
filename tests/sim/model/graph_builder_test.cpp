#include "sim/model/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models.h"
#include "sim/core/error.h"

namespace foretoken {
namespace {

using testing::all;
using testing::decode;
using ::testing::ElementsAre;
using testing::first_elementwise;
using testing::first_gemm;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::llama_8b;
using testing::names;
using testing::prefill;
using ::testing::SizeIs;
using testing::tensor;

using Traffic = std::pair<std::int64_t, std::int64_t>;  // bytes read, bytes written

std::string refusal(const ModelSpec& model, const ParallelSpec& parallel,
                    const PrecisionSpec& precision = {}) {
  try {
    GraphBuilder(model, precision, parallel);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

// Floating-point operations of the GEMMs of a graph: 2 m n k each.
double gemm_flops(const StepGraph& graph) {
  double sum = 0;
  for (const Segment& segment : graph.segments) {
    for (const Operator& op : segment.operators) {
      if (const auto* gemm = std::get_if<GemmOp>(&op.what)) {
        sum += 2.0 * static_cast<double>(gemm->m * gemm->n * gemm->k) * segment.repeat;
      }
    }
  }
  return sum;
}

TEST(GraphBuilder, A_layer_is_the_kernels_of_vllm_in_order) {
  const StepGraph graph = GraphBuilder(llama_8b(), {}, tensor(1)).build(prefill(100), 0);
  ASSERT_THAT(graph.segments, SizeIs(3));
  EXPECT_THAT(names(graph.segments[0]), ElementsAre("embed_tokens", "input_layernorm"));
  EXPECT_EQ(graph.segments[1].name, "layers 0-31");
  EXPECT_EQ(graph.segments[1].repeat, 32);
  EXPECT_THAT(names(graph.segments[1]),
              ElementsAre("qkv_proj", "rope", "kv_cache_write", "attn_prefill", "o_proj",
                          "add_norm", "gate_up_proj", "silu_mul", "down_proj", "add_norm"));
  EXPECT_THAT(names(graph.segments[2]), ElementsAre("select_rows", "lm_head", "sample"));
}

TEST(GraphBuilder, Quantised_activations_and_tensor_ranks_add_their_operators) {
  PrecisionSpec precision;
  precision.weights.push_back({"layers.*", kInt8, {}});
  precision.activations = kInt8;
  ModelSpec model = llama_8b();
  model.qk_norm = true;
  const StepGraph graph = GraphBuilder(model, precision, tensor(2)).build(prefill(100), 0);
  EXPECT_THAT(names(graph.segments[0]),
              ElementsAre("embed_tokens", "all_reduce", "input_layernorm"));
  EXPECT_THAT(
      names(graph.segments[1]),
      ElementsAre("quantise", "qkv_proj", "qk_norm", "rope", "kv_cache_write", "attn_prefill",
                  "quantise", "o_proj", "all_reduce", "add_norm", "quantise", "gate_up_proj",
                  "silu_mul", "quantise", "down_proj", "all_reduce", "add_norm"));
  // lm_head is in 16 bits, so what it reads is not quantised.
  EXPECT_THAT(names(graph.segments[2]),
              ElementsAre("select_rows", "lm_head", "all_gather", "sample"));
  EXPECT_EQ(first_gemm(graph, "qkv_proj").activations, kInt8);
  EXPECT_EQ(first_gemm(graph, "lm_head").activations, kBf16);
}

TEST(GraphBuilder, Gemm_flops_of_a_prefill_are_twice_the_parameters_a_token) {
  // All weights but the embedding table and norms meet every token, lm_head only the last one.
  for (const int ranks : {1, 2, 8}) {
    const GraphBuilder builder(llama_8b(), {}, tensor(ranks));
    const double tokens = 1000;
    const double layers = 32 * 218'103'808.0, head = 128256 * 4096.0;
    EXPECT_DOUBLE_EQ(gemm_flops(builder.build(prefill(1000), 0)) * ranks,
                     2 * (layers * tokens + head));
  }
}

TEST(GraphBuilder, Elementwise_bytes_are_exact) {
  const std::int64_t t = 100;
  const StepGraph graph = GraphBuilder(llama_8b(), {}, tensor(1)).build(prefill(t), 0);
  const auto bytes = [&](const std::string& name) {
    const ElementwiseOp op = first_elementwise(graph, name);
    return Traffic(op.bytes_read, op.bytes_written);
  };
  EXPECT_EQ(bytes("embed_tokens"), Traffic(t * (8192 + 4), t * 8192));
  EXPECT_EQ(bytes("input_layernorm"), Traffic(t * 8192 + 8192, t * 8192));
  EXPECT_EQ(bytes("add_norm"), Traffic(2 * t * 8192 + 8192, 2 * t * 8192));
  // 32 query and 8 key heads of 128; a row of 128 cosines and sines and a position for each token.
  EXPECT_EQ(bytes("rope"), Traffic(t * (40 * 256 + 256 + 8), t * 40 * 256));
  EXPECT_EQ(bytes("kv_cache_write"), Traffic(t * (16 * 256 + 8), t * 16 * 256));
  EXPECT_EQ(bytes("silu_mul"), Traffic(t * 2 * 14336 * 2, t * 14336 * 2));
  EXPECT_EQ(bytes("select_rows"), Traffic(8192 + 8, 8192));
  EXPECT_EQ(bytes("sample"), Traffic(128256 * 6, 128256 * 4 + 8));
}

TEST(GraphBuilder, Attention_appears_only_for_what_the_batch_holds) {
  const GraphBuilder builder(llama_8b(), {}, tensor(4));
  BatchShape both = decode(3, 600);
  both.prefill = {{50, 10}, {20, 0}};
  EXPECT_EQ(both.tokens(), 73);
  const StepGraph mixed = builder.build(both, 0);
  ASSERT_THAT(all(mixed, "attn_prefill"), SizeIs(32));
  ASSERT_THAT(all(mixed, "attn_decode"), SizeIs(32));
  const auto prefill_op = std::get<AttentionOp>(all(mixed, "attn_prefill")[0].what);
  EXPECT_FALSE(prefill_op.decode);
  EXPECT_EQ(prefill_op.heads, 8);
  EXPECT_EQ(prefill_op.kv_heads, 2);
  ASSERT_THAT(prefill_op.chunks, SizeIs(2));
  EXPECT_EQ(prefill_op.chunks[0].context, 10);
  const auto decode_op = std::get<AttentionOp>(all(mixed, "attn_decode")[0].what);
  EXPECT_TRUE(decode_op.decode);
  EXPECT_EQ(decode_op.sequences, 3);
  EXPECT_EQ(decode_op.kv_tokens, 600);
  EXPECT_EQ(first_gemm(mixed, "qkv_proj").m, 73);
  EXPECT_EQ(first_gemm(mixed, "lm_head").m, 3);
  EXPECT_THAT(all(builder.build(decode(3, 600), 0), "attn_prefill"), IsEmpty());
  EXPECT_THAT(all(builder.build(prefill(5), 0), "attn_decode"), IsEmpty());
}

TEST(GraphBuilder, A_step_without_rows_has_no_head) {
  BatchShape chunk = prefill(512);
  chunk.rows = 0;
  const StepGraph graph = GraphBuilder(llama_8b(), {}, tensor(1)).build(chunk, 0);
  EXPECT_THAT(all(graph, "lm_head"), IsEmpty());
  EXPECT_THAT(all(graph, "down_proj"), SizeIs(32));
}

TEST(GraphBuilder, Windows_alternate_within_one_segment) {
  const GraphBuilder builder(testing::gemma2_9b(), {}, tensor(1));
  BatchShape batch = decode(2, 20000);
  batch.decode_kv_tokens_windowed = 8192;
  const StepGraph graph = builder.build(batch, 0);
  ASSERT_THAT(graph.segments, SizeIs(3));
  EXPECT_EQ(graph.segments[1].repeat, 21);  // 42 layers in pairs
  const auto ops = all(graph, "attn_decode");
  ASSERT_THAT(ops, SizeIs(42));
  for (std::size_t layer = 0; layer < ops.size(); ++layer) {
    const auto op = std::get<AttentionOp>(ops[layer].what);
    EXPECT_EQ(op.window, layer % 2 == 0 ? 4096 : 0);
    EXPECT_EQ(op.kv_tokens, layer % 2 == 0 ? 8192 : 20000);
  }
  EXPECT_THAT(all(graph, "post_attn_norm"), SizeIs(42));
  EXPECT_THAT(all(graph, "post_mlp_norm"), SizeIs(42));
}

TEST(GraphBuilder, Precision_rules_split_the_layers) {
  PrecisionSpec precision;
  precision.weights.push_back({"layers.0-1.*", kInt8, {}});
  const StepGraph graph = GraphBuilder(llama_8b(), precision, tensor(1)).build(prefill(7), 0);
  ASSERT_THAT(graph.segments, SizeIs(4));
  EXPECT_EQ(graph.segments[1].name, "layers 0-1");
  EXPECT_EQ(graph.segments[2].name, "layers 2-31");
  const auto gemms = all(graph, "o_proj");
  ASSERT_THAT(gemms, SizeIs(32));
  EXPECT_EQ(std::get<GemmOp>(gemms[1].what).weights, kInt8);
  EXPECT_EQ(std::get<GemmOp>(gemms[2].what).weights, kBf16);
}

TEST(GraphBuilder, Stages_hand_tokens_times_hidden_on_and_together_are_the_model) {
  const GraphBuilder builder(llama_8b(), {}, tensor(2, 3));
  const BatchShape batch = prefill(64);
  double flops = 0;
  for (int stage = 0; stage < 3; ++stage) {
    const StepGraph graph = builder.build(batch, stage);
    flops += gemm_flops(graph);
    const auto sends = all(graph, "send_recv");
    ASSERT_THAT(sends, SizeIs(stage < 2 ? 1 : 0));
    if (stage < 2) {
      EXPECT_EQ(graph.segments.back().name, "send");
      EXPECT_EQ(std::get<CollectiveOp>(sends[0].what).values, 64 * 4096);
      EXPECT_THAT(all(graph, "residual_add"), SizeIs(1));
    }
    EXPECT_THAT(all(graph, "embed_tokens"), SizeIs(stage == 0 ? 1 : 0));
    EXPECT_THAT(all(graph, "lm_head"), SizeIs(stage == 2 ? 1 : 0));
  }
  EXPECT_DOUBLE_EQ(flops, gemm_flops(GraphBuilder(llama_8b(), {}, tensor(2)).build(batch, 0)));
}

TEST(GraphBuilder, All_reduces_carry_tokens_times_hidden_in_the_wire_format) {
  PrecisionSpec precision;
  precision.all_reduce = parse_format("int4/g32", FormatRole::wire);
  const StepGraph graph = GraphBuilder(llama_8b(), precision, tensor(4)).build(decode(5, 50), 0);
  const auto reduces = all(graph, "all_reduce");
  ASSERT_THAT(reduces, SizeIs(1 + 2 * 32));  // the embedding, and two a layer
  for (const Operator& op : reduces) {
    EXPECT_EQ(op.family, OpFamily::collective);
    EXPECT_EQ(std::get<CollectiveOp>(op.what).values, 5 * 4096);
    EXPECT_EQ(std::get<CollectiveOp>(op.what).wire, precision.all_reduce);
  }
  const auto gathers = all(graph, "all_gather");
  ASSERT_THAT(gathers, SizeIs(1));
  EXPECT_EQ(std::get<CollectiveOp>(gathers[0].what).values, 5 * 128256);
}

TEST(GraphBuilder, A_plain_mlp_has_one_projection_and_an_activation) {
  ModelSpec model = llama_8b();
  model.gated_mlp = false;
  const StepGraph graph = GraphBuilder(model, {}, tensor(1)).build(prefill(10), 0);
  EXPECT_THAT(all(graph, "gate_up_proj"), IsEmpty());
  EXPECT_EQ(first_gemm(graph, "up_proj").n, 14336);
  EXPECT_EQ(first_elementwise(graph, "activation").bytes_read, 10 * 14336 * 2);
}

TEST(GraphBuilder, Operators_say_what_they_depend_on) {
  const GraphBuilder builder(llama_8b(), {}, tensor(2));
  // Same tokens and rows, another context: only attention may differ.
  const StepGraph a = builder.build(decode(4, 100), 0);
  const StepGraph b = builder.build(decode(4, 9000), 0);
  for (std::size_t s = 0; s < a.segments.size(); ++s) {
    for (std::size_t i = 0; i < a.segments[s].operators.size(); ++i) {
      const Operator& op = a.segments[s].operators[i];
      EXPECT_EQ(op.name, b.segments[s].operators[i].name);
      const bool attention = op.family == OpFamily::attention_decode;
      EXPECT_EQ(op.depends_on == DependsOn::attention, attention) << op.name;
      EXPECT_EQ(op.depends_on == DependsOn::rows, a.segments[s].name == "head") << op.name;
    }
  }
}

TEST(GraphBuilder, What_cannot_be_laid_out_is_refused_with_a_remedy) {
  ParallelSpec three = tensor(3);
  three.mark = {"a.yaml", 4, 11};
  EXPECT_EQ(refusal(llama_8b(), three),
            "a.yaml:4:11: parallel.tensor: 3 ranks do not divide the 32 attention heads of "
            "llama-3.1-8b (try a divisor of 32)");
  EXPECT_THAT(refusal(llama_8b(), tensor(1, 33)), HasSubstr("33 stages for the 32 layers"));
  EXPECT_EQ(refusal(llama_8b(), tensor(1, 32)), "accepted");
  EXPECT_THAT(refusal(testing::qwen25_7b(), tensor(8)), HasSubstr("28 attention heads"));
  ParallelSpec experts = tensor(2);
  experts.expert = 2;
  EXPECT_THAT(refusal(llama_8b(), experts), HasSubstr("has no experts"));
  PrecisionSpec useless;
  useless.activations = kInt8;
  EXPECT_THAT(refusal(llama_8b(), tensor(1), useless), HasSubstr("needs quantised weights"));
}

TEST(GraphBuilder, Experts_and_latent_attention_are_refused_in_one_line) {
  ModelSpec mixtral = llama_8b();
  mixtral.name = "mixtral-8x7b";
  mixtral.moe.experts = 8;
  EXPECT_EQ(
      refusal(mixtral, tensor(1)),
      "model: \"mixtral-8x7b\" is a mixture of experts: not simulated yet (dense models are)");
  ModelSpec latent = llama_8b();
  latent.mla.kv_lora_rank = 512;
  EXPECT_THAT(refusal(latent, tensor(1)), HasSubstr("multi-head latent attention"));
}

// Megatron-LM's sequence parallelism: each all-reduce becomes its two halves, norms see a quarter
// of the tokens, GEMMs all of them.
TEST(GraphBuilder, Sequence_parallelism_splits_the_all_reduce_around_the_norm) {
  ParallelSpec parallel = tensor(4);
  parallel.sequence = true;
  const GraphBuilder builder(llama_8b(), {}, parallel);
  const StepGraph graph = builder.build(prefill(102), 0);
  EXPECT_THAT(names(graph.segments[0]),
              ElementsAre("embed_tokens", "reduce_scatter", "input_layernorm", "all_gather"));
  EXPECT_THAT(names(graph.segments[1]),
              ElementsAre("qkv_proj", "rope", "kv_cache_write", "attn_prefill", "o_proj",
                          "reduce_scatter", "add_norm", "all_gather", "gate_up_proj", "silu_mul",
                          "down_proj", "reduce_scatter", "add_norm", "all_gather"));
  for (const Segment& segment : graph.segments) {
    for (const Operator& op : segment.operators) {
      if (const auto* collective = std::get_if<CollectiveOp>(&op.what);
          collective != nullptr && op.depends_on == DependsOn::tokens) {
        EXPECT_EQ(collective->values, 4 * 26 * 4096);  // 102 tokens padded to four shares of 26
      }
    }
  }
  const auto& norm = std::get<ElementwiseOp>(graph.segments[1].operators[6].what);
  EXPECT_EQ(norm.bytes_written, 2 * 26 * 4096 * 2);
  EXPECT_EQ(gemm_flops(graph),
            gemm_flops(GraphBuilder(llama_8b(), {}, tensor(4)).build(prefill(102), 0)));
}

TEST(GraphBuilder, Under_sequence_parallelism_a_stage_sends_its_share) {
  ParallelSpec parallel = tensor(4);
  parallel.sequence = true;
  parallel.pipeline = 2;
  const GraphBuilder builder(llama_8b(), {}, parallel);
  const StepGraph first = builder.build(prefill(100), 0);
  EXPECT_EQ(std::get<CollectiveOp>(first.segments.back().operators[0].what).values, 25 * 4096);
  EXPECT_THAT(names(first.segments[first.segments.size() - 2]).back(), "residual_add");
  EXPECT_THAT(names(builder.build(prefill(100), 1).segments[0]),
              ElementsAre("input_layernorm", "all_gather"));
}

}  // namespace
}  // namespace foretoken
