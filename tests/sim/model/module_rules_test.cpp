#include "sim/model/module_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models.h"

namespace foretoken {
namespace {

using testing::llama_8b;

PrecisionSpec with_rule(const std::string& pattern, const Format& format) {
  PrecisionSpec precision;
  precision.weights.push_back({pattern, format, {"a.yaml", 3, 5}});
  return precision;
}

TEST(ModuleRules, A_star_spans_path_elements_and_a_question_mark_one_character) {
  EXPECT_TRUE(matches_module("*", "layers.3.mlp.down_proj"));
  EXPECT_TRUE(matches_module("layers.*.down_proj", "layers.3.mlp.down_proj"));
  EXPECT_TRUE(matches_module("*.mlp.*", "layers.3.mlp.down_proj"));
  EXPECT_TRUE(matches_module("lm_hea?", "lm_head"));
  EXPECT_FALSE(matches_module("lm_hea?", "lm_hea"));
  EXPECT_FALSE(matches_module("layers.3", "layers.3.mlp.down_proj"));
}

TEST(ModuleRules, A_range_matches_whole_layer_numbers_only) {
  EXPECT_TRUE(matches_module("layers.0-1.*", "layers.0.mlp.down_proj"));
  EXPECT_TRUE(matches_module("layers.0-1.*", "layers.1.mlp.down_proj"));
  EXPECT_FALSE(matches_module("layers.0-1.*", "layers.2.mlp.down_proj"));
  // 10 begins with a 1 that is in the range, but is not in it itself.
  EXPECT_FALSE(matches_module("layers.0-1.*", "layers.10.mlp.down_proj"));
  EXPECT_TRUE(matches_module("layers.8-12.mlp.*", "layers.10.mlp.down_proj"));
}

TEST(ModuleRules, A_pattern_full_of_stars_is_decided_at_once) {
  const std::string stars(2000, '*');
  EXPECT_FALSE(matches_module(stars + "x", "layers.0.self_attn.qkv_proj"));
  EXPECT_TRUE(matches_module(stars, "layers.0.self_attn.qkv_proj"));
}

TEST(ModuleRules, The_last_rule_that_matches_wins) {
  PrecisionSpec precision = with_rule("layers.*", kFp8);
  precision.weights.push_back({"layers.0.*", kInt8, {}});
  const ModelSpec model = llama_8b();
  EXPECT_EQ(weight_format(precision, model, "layers.0.mlp.down_proj"), kInt8);
  EXPECT_EQ(weight_format(precision, model, "layers.1.mlp.down_proj"), kFp8);
  EXPECT_EQ(weight_format(precision, model, "lm_head"), kBf16);
}

TEST(ModuleRules, A_quantised_default_reaches_lm_head_but_not_the_embedding_table) {
  PrecisionSpec precision;
  precision.weights_default = kInt8;
  ModelSpec model = llama_8b();
  EXPECT_EQ(weight_format(precision, model, "lm_head"), kInt8);
  EXPECT_EQ(weight_format(precision, model, "embed_tokens"), kBf16);
  model.tied_embeddings = true;  // then they are one matrix
  EXPECT_EQ(weight_format(precision, model, "lm_head"), kBf16);
  precision.weights.push_back({"embed_tokens", kFp8, {}});
  EXPECT_EQ(weight_format(precision, model, "lm_head"), kFp8);
}

TEST(ModuleRules, A_rule_that_matches_nothing_is_refused_with_the_nearest_module) {
  try {
    check_rules(with_rule("lm_heat", kInt8), llama_8b());
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(),
                 "a.yaml:3:5: precision.weights: \"lm_heat\" matches no module of llama-3.1-8b "
                 "(try lm_head)");
  }
  EXPECT_THROW(check_rules(with_rule("layers.32.*", kInt8), llama_8b()), InputError);
  EXPECT_NO_THROW(check_rules(with_rule("layers.31.*", kInt8), llama_8b()));
}

}  // namespace
}  // namespace foretoken
