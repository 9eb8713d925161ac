#include <gtest/gtest.h>

#include "models.h"

namespace foretoken {
namespace {

using testing::tensor;

std::int64_t parameters(const ModelSpec& model) {
  return GraphBuilder(model, {}, tensor(1)).parameter_count();
}

TEST(Memory, Parameter_counts_are_those_of_the_public_checkpoints) {
  // Llama-3.1-8B, by hand: tables 2 x 128256 x 4096 = 1,050,673,152; per layer QKV 4096 x 6144, O
  // 4096^2, MLP 3 x 4096 x 14336, norms 2 x 4096 = 218,112,000, 32 of them 6,979,584,000; final
  // norm 4096. The others are the numbers of the model pages.
  EXPECT_EQ(parameters(testing::llama_8b()), 8'030'261'248);
  EXPECT_EQ(parameters(testing::llama_70b()), 70'553'706'496);
  EXPECT_EQ(parameters(testing::llama_405b()), 405'853'388'800);
  EXPECT_EQ(parameters(testing::llama2_7b()), 6'738'415'616);
  EXPECT_EQ(parameters(testing::qwen3_8b()), 8'190'735'360);
  EXPECT_EQ(parameters(testing::qwen3_32b()), 32'762'123'264);
  EXPECT_EQ(parameters(testing::qwen25_7b()), 7'615'616'512);
  EXPECT_EQ(parameters(testing::gemma2_9b()), 9'241'705'984);
}

TEST(Memory, In_16_bits_a_model_takes_two_bytes_a_parameter) {
  for (const ModelSpec& model :
       {testing::llama_8b(), testing::qwen3_8b(), testing::qwen25_7b(), testing::gemma2_9b()}) {
    const GraphBuilder builder(model, {}, tensor(1));
    EXPECT_EQ(builder.weight_bytes().count, 2 * builder.parameter_count()) << model.name;
  }
}

TEST(Memory, Int4_in_groups_of_128_packs_nibbles_and_scales) {
  PrecisionSpec precision;
  precision.weights_default = parse_format("int4/g128", FormatRole::weights);
  precision.weights.push_back({"lm_head", kBf16, {}});
  const GraphBuilder builder(testing::llama_8b(), precision, tensor(1));
  // 0.5 byte a value and 2 bytes for 128 values: 0.515625 byte x the 218,103,808 linear weights of
  // a layer = 112,459,776; norms 2 x 4096 x 2 = 16,384. Tables in 16 bits 2,101,346,304, final norm
  // 8,192.
  EXPECT_EQ(builder.weight_bytes().count, 32 * (112'459'776LL + 16'384) + 2'101'346'304 + 8'192);
}

TEST(Memory, Int8_per_channel_adds_one_scale_a_row) {
  PrecisionSpec precision;
  precision.weights.push_back({"layers.*", kInt8, {}});
  const GraphBuilder builder(testing::llama_8b(), precision, tensor(1));
  // Rows of a layer: QKV 6144 + O 4096 + gate/up 28672 + down 4096 = 43,008, 2 bytes each.
  EXPECT_EQ(builder.weight_bytes().count,
            32 * (218'103'808LL + 2 * 43'008 + 16'384) + 2'101'346'304 + 8'192);
}

TEST(Memory, Tensor_ranks_split_the_matrices_and_copy_the_norms) {
  const ModelSpec model = testing::llama_70b();
  const GraphBuilder one(model, {}, tensor(1));
  const GraphBuilder four(model, {}, tensor(4));
  const std::int64_t norms = (80 * 2 + 1) * 8192 * 2;
  EXPECT_EQ(four.weight_bytes().count, (one.weight_bytes().count - norms) / 4 + norms);
}

TEST(Memory, Key_value_heads_are_copied_when_there_are_fewer_than_ranks) {
  const ModelSpec model = testing::llama_70b();  // 8 KV heads x 128, K and V, 16 bits, 80 layers
  EXPECT_EQ(GraphBuilder(model, {}, tensor(1)).kv_bytes_per_token().count, 2 * 8 * 128 * 2 * 80);
  EXPECT_EQ(GraphBuilder(model, {}, tensor(8)).kv_bytes_per_token().count, 2 * 1 * 128 * 2 * 80);
  EXPECT_EQ(GraphBuilder(model, {}, tensor(16)).kv_bytes_per_token().count, 2 * 1 * 128 * 2 * 80);
  // 64 query heads over 16 ranks: 4 + 1 + 1 heads a rank.
  const StepGraph graph = GraphBuilder(model, {}, tensor(16)).build(testing::prefill(10), 0);
  EXPECT_EQ(testing::first_gemm(graph, "qkv_proj").n, 6 * 128);
}

TEST(Memory, A_quantised_cache_counts_its_scales) {
  PrecisionSpec precision;
  precision.kv_cache = kFp8;
  EXPECT_EQ(GraphBuilder(testing::llama_8b(), precision, tensor(1)).kv_bytes_per_token().count,
            2 * 8 * 128 * 32);
  precision.kv_cache = parse_format("int8", FormatRole::kv_cache);
  EXPECT_EQ(GraphBuilder(testing::llama_8b(), precision, tensor(1)).kv_bytes_per_token().count,
            2 * 8 * (128 + 2) * 32);
  precision.kv_cache = parse_format("int4/g32", FormatRole::kv_cache);  // 4 groups a head
  EXPECT_EQ(GraphBuilder(testing::llama_8b(), precision, tensor(1)).kv_bytes_per_token().count,
            2 * 8 * (64 + 4 * 2) * 32);
}

TEST(Memory, Stages_add_up_to_the_model_and_the_largest_counts) {
  const ModelSpec model = testing::llama_8b();
  const GraphBuilder whole(model, {}, tensor(1));
  const GraphBuilder staged(model, {}, tensor(1, 3));  // 11 + 11 + 10 layers
  std::int64_t sum = 0;
  for (int stage = 0; stage < 3; ++stage) {
    sum += staged.weight_bytes(stage).count;
    EXPECT_LE(staged.weight_bytes(stage), staged.weight_bytes());
  }
  EXPECT_EQ(sum, whole.weight_bytes().count);
  EXPECT_EQ(staged.kv_bytes_per_token().count, 2 * 8 * 128 * 2 * 11);
}

TEST(Memory, Tied_embeddings_are_copied_to_the_last_stage) {
  const ModelSpec model = testing::gemma2_9b();
  const std::int64_t table = 256000LL * 3584 * 2;
  const GraphBuilder staged(model, {}, tensor(1, 2));
  EXPECT_EQ(staged.weight_bytes(0).count + staged.weight_bytes(1).count,
            GraphBuilder(model, {}, tensor(1)).weight_bytes().count + table);
}

TEST(Memory, The_activation_peak_of_a_prefill_is_the_mlp_and_of_a_decode_the_logits) {
  const GraphBuilder builder(testing::llama_8b(), {}, tensor(1));
  // 8192 tokens: residual 4096 + SiLU's input 28672 and output 14336 values of 2 bytes each.
  EXPECT_EQ(builder.activation_bytes(8192, 1).count, 8192LL * (4096 + 28672 + 14336) * 2);
  // 256 rows: hidden states twice in 16 bits, logits in 16 and in 32 bits.
  EXPECT_EQ(builder.activation_bytes(256, 256).count, 256LL * (2 * 4096 * 2 + 128256 * (2 + 4)));
}

}  // namespace
}  // namespace foretoken
