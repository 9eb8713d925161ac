#include "sim/plan/bounds.h"

#include <gtest/gtest.h>

#include "sim/plan/evaluate.h"
#include "sim/plan/screen.h"
#include "sim/serving/simulation.h"
#include "tests/sim/plan/problems.h"

namespace foretoken::plan {
namespace {

using testing_fixtures::small_problem;

// max(3, 1 + x) at 1, 2, 4: the hull's edges are 3 flat and 1 + x; through the origin 5/4 x.
TEST(Floor, Is_the_lower_hull) {
  const Floor floor = floor_of({1, 2, 4}, {3, 3, 5});
  EXPECT_DOUBLE_EQ(floor.time(1, 1), 3);
  EXPECT_DOUBLE_EQ(floor.time(1, 3), 4);
  EXPECT_DOUBLE_EQ(floor.time(2, 8), 10);
  EXPECT_DOUBLE_EQ(floor.tokens_within(4), 3);
  EXPECT_DOUBLE_EQ(floor.tokens_within(1), 0);
}

// No simulated configuration beats its bounds, whatever the rate; and they are worth something:
// the latencies of an idle deployment lie within twice the bound.
TEST(Bounds, Hold_for_every_configuration_that_can_be_built) {
  for (const double rate : {20.0, 300.0, 1200.0}) {
    const Space space(small_problem(rate));
    ScreenOptions options;
    options.exhaustive = true;
    const std::vector<Screened> screened = screen(space, options);
    int simulated = 0;
    for (std::size_t i = 0; i < space.size(); ++i) {
      if (screened[i].fate != Fate::front) {
        continue;
      }
      ++simulated;
      Task task;
      task.kind = Task::Kind::measure;
      task.configuration = static_cast<std::uint32_t>(i);
      const Outcome at = evaluate(space, task);
      const Bounds& bounds = screened[i].bounds;
      EXPECT_GE(at.ttft, bounds.ttft) << space.label(i) << " at " << rate;
      EXPECT_GE(at.tpot, bounds.tpot) << space.label(i) << " at " << rate;
      if (rate < 100) {
        EXPECT_LE(at.tpot, 2 * bounds.tpot) << space.label(i);
      }
      task.kind = Task::Kind::search;
      task.high = space.max_rung();
      const Outcome found = evaluate(space, task);
      if (found.meets) {
        EXPECT_LE(space.rate(found.rung), bounds.rate) << space.label(i) << " at " << rate;
      }
    }
    EXPECT_GE(simulated, 30);
  }
}

// Never proposed: what the KV arithmetic refuses. Memory shrinks until nothing fits.
TEST(Screen, Lets_through_exactly_what_the_memory_arithmetic_accepts) {
  int refused = 0, accepted = 0;
  for (const double memory : {1e9, 60e6, 50e6, 45e6, 40e6, 35e6, 30e6, 25e6, 20e6}) {
    Problem problem = small_problem(20);
    Profile profile = testing_fixtures::round_profile();
    profile.parameters["device.memory"].value = memory;
    problem.candidates = {
        {problem.candidates.front().topology, std::make_shared<const CostModel>(profile), 1}};
    const Space space(std::move(problem));
    ScreenOptions options;
    options.exhaustive = true;
    const std::vector<Screened> screened = screen(space, options);
    for (std::size_t i = 0; i < space.size(); ++i) {
      const Fate fate = screened[i].fate;
      if (fate != Fate::front && fate != Fate::memory) {
        continue;
      }
      bool fits = true;
      try {
        const ScenarioSpec scenario = space.scenario(i);
        const GraphBuilder builder(scenario.model, scenario.precision, scenario.parallel);
        const MemoryPlan plan = plan_memory(builder, profile, scenario);
        // 100 tokens in and 10 out: 109 are stored.
        fits = plan.blocks * scenario.engine.block_size >= 109;
      } catch (const InputError&) {
        fits = false;
      }
      EXPECT_EQ(fate == Fate::front, fits) << space.label(i) << " with " << memory;
      (fits ? accepted : refused) += 1;
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(accepted, 10);
}

}  // namespace
}  // namespace foretoken::plan
