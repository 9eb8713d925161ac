#include "sim/plan/search.h"

#include <gtest/gtest.h>

#include "sim/plan/evaluate.h"
#include "tests/sim/plan/problems.h"

namespace foretoken::plan {
namespace {

using testing_fixtures::candidate;
using testing_fixtures::small_problem;

PlanResult solve(const Space& space, int jobs, bool exhaustive, int replications = 0) {
  ThreadRunner runner(space, jobs);
  SearchOptions options;
  options.jobs = jobs;
  options.exhaustive = exhaustive;
  options.replications = replications;
  return search(space, runner, nullptr, options);
}

using Line = std::tuple<std::size_t, double, double, double>;

std::vector<Line> lines(const PlanResult& result) {
  std::vector<Line> all;
  for (const PlanRow& row : result.front) {
    all.emplace_back(row.configuration, row.cost, row.latency, row.rate);
  }
  return all;
}

// Three spaces of at most 60 configurations: light, heavy, and with narrower choices and formats.
std::vector<Problem> three_spaces() {
  std::vector<Problem> problems{small_problem(50), small_problem(700), small_problem(300)};
  PlanSpec& spec = *problems.back().scenario.plan;
  spec.pipeline = {1, 2};
  spec.data = {1, 3};
  spec.max_num_seqs = {32};
  spec.max_num_batched_tokens = {128, 512};
  spec.all_reduce = {kBf16, parse_format("int8", FormatRole::wire)};
  problems.back().candidates = {candidate(8, 1)};
  return problems;
}

TEST(Search, Finds_the_front_and_the_cheapest_plan_of_exhaustive_simulation) {
  for (Problem& problem : three_spaces()) {
    const Space space(std::move(problem));
    ASSERT_LE(space.size(), 60U);
    const PlanResult pruned = solve(space, 2, false);
    const PlanResult all = solve(space, 2, true);
    ASSERT_FALSE(all.front.empty());
    EXPECT_EQ(lines(pruned), lines(all));
    EXPECT_EQ(pruned.front[pruned.cheapest].configuration, all.front[all.cheapest].configuration);
    EXPECT_LT(pruned.runs, all.runs);
  }
}

TEST(Search, Gives_the_same_answer_on_any_number_of_threads) {
  const Space space(small_problem(300));
  const PlanResult one = solve(space, 1, false, 3);
  const PlanResult four = solve(space, 4, false, 3);
  EXPECT_EQ(lines(one), lines(four));
  EXPECT_EQ(one.outcomes, four.outcomes);
  EXPECT_EQ(one.fates, four.fates);
  EXPECT_EQ(one.runs, four.runs);
  ASSERT_EQ(one.front.size(), four.front.size());
  for (std::size_t i = 0; i < one.front.size(); ++i) {
    if (one.front[i].intervals) {
      EXPECT_EQ(one.front[i].intervals->rate.low, four.front[i].intervals->rate.low);
      EXPECT_LE(one.front[i].intervals->rate.low, one.front[i].rate);
      EXPECT_GE(one.front[i].intervals->rate.high, one.front[i].rate);
    }
  }
}

// One replica of two: what is left serves about half, and one GPU of a single node takes all.
TEST(Search, States_what_a_failure_leaves) {
  Problem problem = small_problem(50);
  problem.scenario.plan->tensor = {1};
  problem.scenario.plan->data = {2};
  problem.candidates = {candidate(2, 1)};
  const Space space(std::move(problem));
  const PlanResult result = solve(space, 2, false);
  ASSERT_FALSE(result.front.empty());
  const PlanRow& row = result.front[result.cheapest];
  EXPECT_EQ(row.gpu_fails.replicas, 1);
  EXPECT_LT(row.gpu_fails.rate, row.rate);
  EXPECT_GT(row.gpu_fails.rate, row.rate / 4);
  EXPECT_EQ(row.node_fails.replicas, 0);
}

TEST(Search, Names_the_limit_that_binds) {
  {
    Problem problem = small_problem(4000);
    problem.scenario.plan->gpus = 1;
    const PlanResult result = solve(Space(problem), 2, false);
    ASSERT_TRUE(result.obstacle);
    EXPECT_EQ(result.obstacle->limit, "plan.gpus");
    problem.scenario.plan->gpus.reset();
    problem.scenario.plan->budget = 0.5;
    EXPECT_EQ(solve(Space(problem), 2, false).obstacle->limit, "plan.budget");
  }
  {
    Problem problem = small_problem(50);
    problem.scenario.slo->ttft = time_from_seconds(10e-6);
    const PlanResult result = solve(Space(problem), 2, false);
    ASSERT_TRUE(result.obstacle);
    EXPECT_EQ(result.obstacle->limit, "slo.ttft");
    EXPECT_FALSE(result.obstacle->remedies.empty());
  }
  {
    // So many requests that the targets' tail is no help.
    const PlanResult result = solve(Space(small_problem(1e5, 5000)), 2, false);
    ASSERT_TRUE(result.obstacle);
    EXPECT_EQ(result.obstacle->limit, "workload.arrivals");
    EXPECT_FALSE(result.obstacle->remedies.empty());
  }
}

}  // namespace
}  // namespace foretoken::plan
