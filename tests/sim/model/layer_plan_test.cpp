#include "sim/model/layer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models.h"

namespace foretoken {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// "WWF" -> two windowed layers and a full one.
std::vector<LayerPlan> layers(const std::string& text) {
  std::vector<LayerPlan> plans;
  for (const char c : text) {
    LayerPlan plan;
    plan.windowed = c == 'W';
    plans.push_back(plan);
  }
  return plans;
}

std::string runs(const std::string& text) {
  std::string found;
  for (const LayerRun& run : find_runs(layers(text), 0, static_cast<int>(text.size()))) {
    found += fmt::format("[{}+{}x{}]", run.first, run.period, run.repeat);
  }
  return found;
}

TEST(LayerPlan, Stages_are_even_and_the_earlier_ones_take_the_remainder) {
  EXPECT_THAT(split_layers(10, 4), ElementsAre(Pair(0, 3), Pair(3, 6), Pair(6, 8), Pair(8, 10)));
  EXPECT_THAT(split_layers(80, 2), ElementsAre(Pair(0, 40), Pair(40, 80)));
  EXPECT_THAT(split_layers(3, 3), ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 3)));
}

TEST(LayerPlan, Equal_layers_are_one_run) { EXPECT_EQ(runs("FFFFFFFF"), "[0+1x8]"); }

TEST(LayerPlan, Alternating_windows_are_one_run_of_pairs) {
  EXPECT_EQ(runs("WFWFWFWF"), "[0+2x4]");
  EXPECT_EQ(runs("WFWFWFWFW"), "[0+2x4][8+1x1]");
}

TEST(LayerPlan, Five_windows_in_six_are_runs_of_six_and_a_rest) {
  // Gemma-3: 62 layers = 10 x 6 + 2.
  std::string text;
  for (int layer = 0; layer < 62; ++layer) {
    text += (layer + 1) % 6 == 0 ? 'F' : 'W';
  }
  EXPECT_EQ(runs(text), "[0+6x10][60+1x2]");
}

TEST(LayerPlan, Runs_cover_every_layer_once_in_order) {
  const std::string text = "WWFWFFWFWFFFWWWFWWWFW";
  const std::vector<LayerPlan> plans = layers(text);
  std::string rebuilt;
  for (const LayerRun& run : find_runs(plans, 0, static_cast<int>(text.size()))) {
    ASSERT_EQ(run.first, static_cast<int>(rebuilt.size()));
    for (int i = 0; i < run.repeat; ++i) {
      rebuilt +=
          text.substr(static_cast<std::size_t>(run.first), static_cast<std::size_t>(run.period));
    }
  }
  EXPECT_EQ(rebuilt, text);
}

TEST(LayerPlan, A_layer_in_another_format_stands_apart) {
  PrecisionSpec precision;
  precision.weights.push_back({"layers.0-1.*", kInt8, {}});
  precision.weights.push_back({"layers.5.mlp.down_proj", kFp8, {}});
  const std::vector<LayerPlan> plans = plan_layers(testing::llama_8b(), precision, 1);
  const std::vector<StagePlan> stages = plan_stages(plans, 1);
  ASSERT_EQ(stages.size(), 1u);
  ASSERT_EQ(stages[0].runs.size(), 4u);  // 0-1, 2-4, 5, 6-31
  EXPECT_EQ(stages[0].runs[1].first, 2);
  EXPECT_EQ(stages[0].runs[2].repeat, 1);
  EXPECT_EQ(stages[0].runs[3].repeat, 26);
}

TEST(LayerPlan, The_last_layer_of_a_stage_that_sends_on_stands_apart) {
  const std::vector<LayerPlan> plans = plan_layers(testing::llama_8b(), {}, 2);
  const std::vector<StagePlan> stages = plan_stages(plans, 2);
  ASSERT_EQ(stages.size(), 2u);
  ASSERT_EQ(stages[0].runs.size(), 2u);
  EXPECT_EQ(stages[0].runs[0].repeat, 15);
  EXPECT_EQ(stages[0].runs[1].repeat, 1);
  EXPECT_EQ(stages[1].runs.size(), 1u);
}

}  // namespace
}  // namespace foretoken
