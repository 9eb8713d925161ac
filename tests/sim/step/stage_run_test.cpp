#include "sim/step/stage_run.h"

#include <gtest/gtest.h>

#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

BatchShape mixed_batch() {
  BatchShape batch;
  batch.prefill = {{100, 0}, {50, 200}};
  batch.decode_sequences = 7;
  batch.decode_kv_tokens = batch.decode_kv_tokens_windowed = 900;
  batch.rows = 9;
  return batch;
}

struct Done final : EventHandler {
  explicit Done(EventQueue& queue) : events(queue) {}
  void handle(std::uint64_t payload) override {
    at = events.now();
    last = payload;
  }
  EventQueue& events;
  Time at = kTimeNever;
  std::uint64_t last = 0;
};

// Two sockets with two GPUs each on their own root ports.
Simulation two_sockets(double socket_link, ScenarioSpec scenario) {
  ClusterSpec spec;
  spec.name = "two sockets";
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 0,
                                      .gpus_per_switch = 2,
                                      .link = {{1e15}, Time(250'000)},
                                      .socket_link = {{socket_link}, Time(250'000)}});
  Workload workload = make_workload(scenario.workload, nullptr, nullptr, scenario.seed);
  return Simulation(std::move(scenario), Topology(std::move(spec)), round_profile(),
                    std::move(workload));
}

TEST(StageRun, Alone_on_its_links_takes_what_the_timer_says) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  scenario.parallel.pipeline = 2;
  const Simulation simulation = make(scenario);
  const StepContext context = simulation.step_context();
  for (const CostDraw& draw : {CostDraw(), CostDraw(3, 1, 4)}) {
    for (int stage = 0; stage < 2; ++stage) {
      StepTimer timer(context, simulation.placements().front().stages[stage], stage, draw, true);
      EventQueue events;
      FlowNetwork network(events, timer.link_capacity());
      StageRun run(timer, events, network);
      Done done(events);
      run.start(mixed_batch(), done, 7);
      EXPECT_TRUE(run.running());
      events.run();
      EXPECT_FALSE(run.running());
      EXPECT_EQ(done.last, 7u);
      const StepTime expected = timer.time(mixed_batch());
      EXPECT_EQ(run.time().share.total, done.at);
      if (draw.is_point()) {
        EXPECT_EQ(done.at, expected.share.total);
        EXPECT_EQ(run.time().share.by_family, expected.share.by_family);
        EXPECT_EQ(run.time().share.by_provenance, expected.share.by_provenance);
      } else {  // a factor on each part in place of one on their sum
        EXPECT_NEAR(to_seconds(done.at), to_seconds(expected.share.total), 1e-9);
      }
    }
  }
}

// Both replicas reach over the one link between the sockets, in step, so each gets half of it: as
// long as if it had a link of half the bandwidth to itself. With two GPUs a ring sends over the
// link in both directions, and so does the other's: each direction carries two flows at a time.
TEST(StageRun, Two_replicas_over_one_link_each_get_half_of_it) {
  constexpr double kLink = 5e9;
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  scenario.parallel.data = 2;
  scenario.placement.groups = {{0, 2}, {1, 3}};
  const Simulation simulation = two_sockets(kLink, scenario);
  const StepContext context = simulation.step_context();
  StepTimer first(context, simulation.placements()[0].stages[0], 0, {}, true);
  StepTimer second(context, simulation.placements()[1].stages[0], 0, {}, true);
  EventQueue events;
  FlowNetwork network(events, first.link_capacity());
  StageRun runs[]{{first, events, network}, {second, events, network}};
  Done done[]{Done(events), Done(events)};
  runs[0].start(mixed_batch(), done[0], 0);
  runs[1].start(mixed_batch(), done[1], 0);
  events.run();
  const Simulation half = two_sockets(kLink / 2, scenario);
  const StepContext half_context = half.step_context();
  StepTimer alone(half_context, half.placements()[0].stages[0], 0, {}, true);
  const Time expected = alone.time(mixed_batch()).share.total;
  EXPECT_GT(expected, first.time(mixed_batch()).share.total);
  // Every solve may round a finish up by a picosecond.
  EXPECT_NEAR(static_cast<double>(done[0].at.count()), static_cast<double>(expected.count()), 100);
  EXPECT_EQ(done[0].at, done[1].at);
}

// While a collective lasts the next work has 1 - share of the SMs.
TEST(StageRun, A_collective_beside_the_next_work_hides_behind_it) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  const Simulation plain = make(scenario);
  for (const double share : {0.0, 0.1, 0.5}) {
    scenario.engine.overlap_collectives = share;
    const Simulation simulation = make(scenario);
    const StepContext context = simulation.step_context();
    StepTimer timer(context, simulation.placements().front().stages[0], 0, {}, false);
    StepTimer waiting(plain.step_context(), plain.placements().front().stages[0], 0, {}, false);
    EXPECT_EQ(timer.seen(Time(100), Time(60)),
              Time(std::max<std::int64_t>(40, static_cast<std::int64_t>(100 * share))));
    const StepTime overlapped = timer.time(mixed_batch());
    const StepTime after = waiting.time(mixed_batch());
    EXPECT_LT(overlapped.share.total, after.share.total);
    // The work is all there, and at least the share of the collectives is seen.
    const auto collective = static_cast<std::size_t>(OpFamily::collective);
    EXPECT_EQ(overlapped.share.total - overlapped.share.by_family[collective],
              after.share.total - after.share.by_family[collective]);
    EXPECT_GE(to_seconds(overlapped.share.by_family[collective]),
              share * to_seconds(after.share.by_family[collective]) - 1e-10);
    // Event by event it is the same.
    EventQueue events;
    FlowNetwork network(events, timer.link_capacity());
    StageRun run(timer, events, network);
    Done done(events);
    run.start(mixed_batch(), done, 0);
    events.run();
    EXPECT_EQ(done.at, overlapped.share.total);
    EXPECT_EQ(run.time().share.by_family, overlapped.share.by_family);
  }
}

}  // namespace
}  // namespace foretoken
