#include "sim/serving/memory.h"

#include <gtest/gtest.h>

#include "sim/core/error.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

// KV bytes per token: 4 layers x 2 x 4 heads x 64 x 2 bytes = 4,096; a block of 16 is 65,536.
TEST(MemoryPlan, Blocks_are_what_is_left_after_everything_else) {
  ScenarioSpec scenario = small_scenario();
  scenario.engine.context_memory = Bytes{100'000'000};
  const Simulation simulation = make(scenario);
  const MemoryPlan& plan = simulation.memory();
  EXPECT_EQ(plan.kv_per_block.count, 65'536);
  EXPECT_EQ(plan.kv_available.count,
            900'000'000 - plan.weights.count - plan.activations.count - 100'000'000);
  EXPECT_EQ(plan.blocks, plan.kv_available.count / 65'536);
  EXPECT_EQ(plan.communication.count, 0);
}

TEST(MemoryPlan, The_share_applies_to_what_the_engine_takes_it_of) {
  ScenarioSpec scenario = small_scenario();
  scenario.engine.context_memory = Bytes{100'000'000};
  scenario.engine.gpu_memory_utilization = 0.5;
  scenario.engine.kv_budget = KvBudget::of_free;
  MemoryPlan plan = make(scenario).memory();
  // (1 GB - weights - activations - 0.1 GB) x 0.5
  EXPECT_EQ(plan.kv_available.count,
            (900'000'000 - plan.weights.count - plan.activations.count) / 2);
  EXPECT_NE(plan.arithmetic().find(") x 0.50 ="), std::string::npos);
  scenario.engine.kv_budget = KvBudget::static_memory;
  plan = make(scenario).memory();
  EXPECT_EQ(plan.kv_available.count, 450'000'000 - plan.weights.count);
}

TEST(MemoryPlan, A_model_that_does_not_fit_is_refused_with_the_arithmetic) {
  ScenarioSpec scenario = small_scenario();
  scenario.model.layers = 400;
  try {
    make(scenario);
    FAIL() << "accepted";
  } catch (const InputError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find("test.yaml:3:8: model: small does not fit"), 0U) << message;
    EXPECT_NE(message.find("1.0 GB x 0.90 - weights"), std::string::npos) << message;
    EXPECT_NE(message.find("raise parallel.tensor"), std::string::npos) << message;
  }
}

TEST(MemoryPlan, Stated_blocks_override_the_computed_ones) {
  ScenarioSpec scenario = small_scenario();
  scenario.engine.kv_blocks = 77;
  EXPECT_EQ(make(scenario).memory().blocks, 77);
}

}  // namespace
}  // namespace foretoken
