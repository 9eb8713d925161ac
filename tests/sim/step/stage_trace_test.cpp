#include "sim/step/stage_trace.h"

#include <gtest/gtest.h>

#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

BatchShape batch() {
  BatchShape shape;
  shape.prefill = {{100, 0}};
  shape.decode_sequences = 7;
  shape.decode_kv_tokens = shape.decode_kv_tokens_windowed = 900;
  shape.rows = 8;
  return shape;
}

struct Stage {
  Stage(int tensor, std::optional<double> overlap) {
    ScenarioSpec scenario = small_scenario();
    scenario.parallel.tensor = tensor;
    scenario.engine.overlap_collectives = overlap;
    simulation = std::make_unique<Simulation>(make(scenario));
    timer = std::make_unique<StepTimer>(simulation->step_context(),
                                        simulation->placements().front().stages[0], 0, CostDraw(),
                                        false);
  }
  std::unique_ptr<Simulation> simulation;
  std::unique_ptr<StepTimer> timer;
};

constexpr Time kBegin{5'000'000};

TEST(StageTrace, Operators_and_collectives_fill_the_step_without_gaps) {
  for (const int tensor : {1, 2, 4}) {
    const Stage stage(tensor, std::nullopt);
    const StageTrace trace = trace_alone(*stage.timer, batch(), 3, 0, 17, kBegin);
    EXPECT_EQ(trace.replica, 3);
    EXPECT_EQ(trace.step, 17);
    EXPECT_EQ(trace.begin, kBegin);
    EXPECT_EQ(trace.end - trace.begin, stage.timer->time(batch()).share.total);
    std::vector<OperatorSpan> all = trace.operators;
    for (const CollectiveSpan& collective : trace.collectives) {
      all.push_back(collective.span);
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return a.begin < b.begin; });
    Time at = trace.begin;
    for (const OperatorSpan& span : all) {
      EXPECT_EQ(span.begin, at) << span.name;
      at = span.end;
    }
    EXPECT_EQ(at, trace.end);
    // Two all-reduces in each of four layers, one of the embedding, one gather of the logits.
    EXPECT_EQ(trace.collectives.size(), tensor > 1 ? 10U : 0U);
  }
}

TEST(StageTrace, Transfers_lie_within_their_collective_and_send_what_its_schedule_sends) {
  const Stage stage(4, std::nullopt);
  const StageTrace trace = trace_alone(*stage.timer, batch(), 0, 0, 0, kBegin);
  const auto links = static_cast<std::size_t>(stage.simulation->topology().link_count());
  std::vector<double> expected(links), seen(links);
  for (const auto& [op, times] : stage.timer->collectives(batch())) {
    stage.timer->plan(op).schedule.add_link_bytes(expected, static_cast<double>(times));
  }
  for (const CollectiveSpan& collective : trace.collectives) {
    EXPECT_FALSE(collective.transfers.empty());
    for (const TransferSpan& transfer : collective.transfers) {
      EXPECT_LE(collective.span.begin, transfer.begin);
      EXPECT_LT(transfer.begin, transfer.end);
      EXPECT_LE(transfer.end, collective.span.end);
      for (const int link : transfer.links) {
        seen[static_cast<std::size_t>(link)] += transfer.bytes;
      }
    }
  }
  for (std::size_t i = 0; i < links; ++i) {
    EXPECT_NEAR(seen[i], expected[i], 1e-9 * expected[i]) << "link " << i;
  }
}

// A ring of n sends 2 (n - 1) / n of the vector over each rank's link out, gathers (n - 1) / n.
TEST(StageTrace, A_ring_all_reduce_loads_every_link_with_its_share) {
  const Stage stage(4, std::nullopt);
  std::vector<double> bytes(static_cast<std::size_t>(stage.simulation->topology().link_count()));
  CollectiveOp op;
  op.values = 1 << 20;
  stage.timer->plan(op).schedule.add_link_bytes(bytes, 2);
  for (const double sent : bytes) {
    EXPECT_DOUBLE_EQ(sent, 2 * 2.0 * (1 << 20) * 2 * 3 / 4);
  }
}

TEST(StageTrace, With_overlap_work_begins_beside_the_collective_before_it) {
  const Stage stage(4, 0.1);
  const StageTrace trace = trace_alone(*stage.timer, batch(), 0, 0, 0, kBegin);
  EXPECT_EQ(trace.end - trace.begin, stage.timer->time(batch()).share.total);
  const Time first_end = trace.collectives.front().span.end;
  const bool beside =
      std::any_of(trace.operators.begin(), trace.operators.end(), [&](const auto& op) {
        return op.begin > trace.collectives.front().span.begin && op.begin < first_end;
      });
  EXPECT_TRUE(beside);
}

}  // namespace
}  // namespace foretoken
