// What a run records for drawing, and that recording changes nothing.
#include <gtest/gtest.h>

#include <numeric>

#include "sim/serving/link_use.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

ScenarioSpec scenario(int tensor, int pipeline, int data) {
  ScenarioSpec s = small_scenario();
  s.parallel.tensor = tensor;
  s.parallel.pipeline = pipeline;
  s.parallel.data = data;
  return s;
}

// All replicas behind one link.
Simulation sharing_links() {
  ScenarioSpec s = scenario(2, 1, 2);
  s.placement.groups = {{0, 2}, {1, 3}};
  s.workload.requests = 20;
  ClusterSpec spec;
  spec.name = "two sockets";
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 0,
                                      .gpus_per_switch = 2,
                                      .link = {{50e9}, Time(250'000)},
                                      .socket_link = {{20e9}, Time(250'000)}});
  Workload workload = make_workload(s.workload, nullptr, nullptr, s.seed);
  return Simulation(std::move(s), Topology(std::move(spec)), round_profile(), std::move(workload));
}

Recording everything() {
  return {.timeline = true, .trace = TraceWindow{kTimeZero, kTimeNever, 1'000'000'000}};
}

void expect_same_requests(const RunRecord& a, const RunRecord& b) {
  ASSERT_EQ(a.requests.size(), b.requests.size());
  for (std::size_t i = 0; i < a.requests.size(); ++i) {
    EXPECT_EQ(a.requests[i].first_token, b.requests[i].first_token);
    EXPECT_EQ(a.requests[i].finish, b.requests[i].finish);
  }
  EXPECT_EQ(a.end, b.end);
  EXPECT_EQ(a.gaps, b.gaps);
}

TEST(Recording, Changes_no_picosecond_of_the_run) {
  for (const auto& s : {scenario(1, 1, 1), scenario(2, 2, 2)}) {
    const Simulation simulation = make(s);
    expect_same_requests(simulation.run(CostDraw(), false),
                         simulation.run(CostDraw(), false, everything()));
  }
  const Simulation shared = sharing_links();
  ASSERT_TRUE(shared.replicas_share_links());
  expect_same_requests(shared.run(CostDraw(), false), shared.run(CostDraw(), false, everything()));
}

TEST(Recording, Nothing_is_kept_unless_it_is_asked_for) {
  const RunRecord run = make(scenario(2, 1, 1)).run(CostDraw(), false);
  EXPECT_TRUE(run.timeline.empty());
  EXPECT_TRUE(run.trace.stages.empty());
  EXPECT_TRUE(run.trace.hosts.empty());
}

TEST(Recording, The_timeline_holds_every_step_and_ends_empty) {
  const RunRecord run =
      make(scenario(2, 2, 2)).run(CostDraw(), false, {.timeline = true, .trace = {}});
  ASSERT_EQ(static_cast<std::int64_t>(run.timeline.size()), run.steps);
  std::int64_t tokens = 0, decoded = 0;
  std::map<int, StepSample> last;
  for (const StepSample& step : run.timeline) {
    EXPECT_LT(step.begin, step.end);
    EXPECT_LE(step.kv_blocks, run.kv_blocks);
    tokens += step.tokens();
    decoded += step.decode_sequences;
    last[step.replica] = step;
  }
  EXPECT_EQ(tokens, run.scheduled_tokens);
  EXPECT_EQ(decoded, run.decode_tokens);
  ASSERT_EQ(last.size(), 2U);
  for (const auto& [replica, step] : last) {
    EXPECT_EQ(step.waiting + step.running + step.kv_blocks, 0);
  }
}

// Both ways to run: each stage alone on its links, and all of them on one network.
TEST(Recording, The_trace_holds_every_stage_of_every_step_in_the_order_of_the_pipeline) {
  for (const bool shared : {false, true}) {
    const Simulation simulation = shared ? sharing_links() : make(scenario(2, 2, 2));
    const RunRecord run = simulation.run(CostDraw(), false, everything());
    const auto stages = static_cast<std::int64_t>(simulation.scenario().parallel.pipeline);
    EXPECT_EQ(static_cast<std::int64_t>(run.trace.stages.size()), run.steps * stages);
    EXPECT_EQ(static_cast<std::int64_t>(run.trace.hosts.size()), run.steps);
    std::map<std::pair<int, int>, Time> free;  // of each stage
    std::map<std::int64_t, Time> left;         // the stage before, by step
    Time collectives = kTimeZero;
    for (const StageTrace& stage : run.trace.stages) {
      EXPECT_LE(left[stage.step], stage.begin);
      Time& before = free[{stage.replica, stage.stage}];
      EXPECT_LE(before, stage.begin);
      before = left[stage.step] = stage.end;
      for (const CollectiveSpan& collective : stage.collectives) {
        collectives += collective.span.end - collective.span.begin;
        EXPECT_FALSE(collective.transfers.empty());
      }
    }
    const auto family = [&](OpFamily f) {
      const auto i = static_cast<std::size_t>(f);
      return run.prefill_steps.by_family[i] + run.decode_steps.by_family[i];
    };
    EXPECT_EQ(collectives, family(OpFamily::collective) + family(OpFamily::send_recv));
  }
}

TEST(Recording, The_trace_keeps_to_its_window_and_its_size) {
  const Simulation simulation = make(scenario(2, 1, 1));
  const RunRecord all = simulation.run(CostDraw(), false, everything());
  const Time from = all.end / 4, until = all.end / 2;
  const RunRecord part = simulation.run(
      CostDraw(), false, {.timeline = false, .trace = TraceWindow{from, until, 1'000'000}});
  ASSERT_FALSE(part.trace.stages.empty());
  EXPECT_FALSE(part.trace.full);
  for (const HostSpan& host : part.trace.hosts) {
    EXPECT_GE(host.begin, from);
    EXPECT_LT(host.begin, until);
  }
  const RunRecord small =
      simulation.run(CostDraw(), false, {.timeline = false, .trace = TraceWindow{from, until, 1}});
  EXPECT_EQ(small.trace.hosts.size(), 1U);
  EXPECT_TRUE(small.trace.full);
}

// 4 layers with two all-reduces each and one of the embedding: rings of two over the hidden size in
// bf16, each rank's link carries the vector once; the logits' gather sends half of them.
TEST(Recording, Bytes_over_links_follow_from_the_tokens) {
  const Simulation simulation = make(scenario(2, 1, 1));
  const RunRecord run = simulation.run(CostDraw(), false, {.timeline = true, .trace = {}});
  double tokens = 0, rows = 0;
  for (const StepSample& step : run.timeline) {
    tokens += static_cast<double>(step.tokens());
    rows += step.rows;
  }
  const double expected = tokens * 512 * 2 * 9 + rows * 4096 * 2 / 2;
  const std::vector<double> bytes = link_bytes(simulation, run.timeline);
  ASSERT_FALSE(bytes.empty());
  for (const double sent : bytes) {
    EXPECT_NEAR(sent, expected, 0.02 * expected);
  }
}

TEST(Recording, Replicas_load_their_own_links_and_single_gpus_none) {
  const Simulation two = make(scenario(2, 1, 2));
  for (const double sent :
       link_bytes(two, two.run(CostDraw(), false, {.timeline = true, .trace = {}}).timeline)) {
    EXPECT_GT(sent, 0);
  }
  const Simulation one = make(scenario(1, 1, 1));
  const std::vector<double> none =
      link_bytes(one, one.run(CostDraw(), false, {.timeline = true, .trace = {}}).timeline);
  EXPECT_EQ(std::accumulate(none.begin(), none.end(), 0.0), 0);
}

}  // namespace
}  // namespace foretoken
