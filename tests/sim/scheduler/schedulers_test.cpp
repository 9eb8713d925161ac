#include "sim/scheduler/schedulers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "sim/core/random.h"

namespace foretoken {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

SchedulerLimits limits(std::int64_t blocks, std::int64_t budget = 64, int seqs = 8) {
  SchedulerLimits l;
  l.max_num_seqs = seqs;
  l.max_num_batched_tokens = budget;
  l.block_size = 16;
  l.kv_blocks = blocks;
  return l;
}

struct Step {
  StepPlan plan;
  StepOutcome outcome;
};

Step step(Scheduler& scheduler) {
  Step s;
  scheduler.schedule(s.plan);
  scheduler.complete(s.plan, s.outcome);
  return s;
}

TEST(Schedulers, The_table_has_every_batching_in_order) {
  const auto kinds = scheduler_kinds();
  ASSERT_EQ(kinds.size(), 3U);
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(kinds[i].batching), i);
  }
}

// 80 tokens stored at the end are 5 blocks; of 8 blocks one request leaves 3, too few for another.
TEST(Schedulers, Reserving_the_output_keeps_a_second_request_waiting) {
  SchedulerLimits l = limits(8);
  l.admission = Admission::reserve_output;
  const auto scheduler = make_scheduler(l);
  scheduler->add(16, 65);
  scheduler->add(16, 65);
  const Step s = step(*scheduler);
  EXPECT_EQ(s.plan.prefill.size(), 1U);
  EXPECT_EQ(scheduler->used_blocks(), 5);
  EXPECT_EQ(scheduler->waiting(), 1);
}

// Budget 8: one long prompt admitted first, then a short one that decodes.
TEST(Schedulers, Decodes_first_leaves_prompts_the_rest_of_the_budget) {
  for (const bool decode_first : {false, true}) {
    SchedulerLimits l = limits(100, 8);
    l.decode_first = decode_first;
    const auto scheduler = make_scheduler(l);
    scheduler->add(20, 4);
    step(*scheduler);  // 8 of 20
    step(*scheduler);  // 16 of 20
    scheduler->add(4, 4);
    step(*scheduler);  // 4 and 4: both prompts are done
    scheduler->add(30, 4);
    Step s = step(*scheduler);  // two decodes and 6 of 30
    EXPECT_EQ(s.plan.decode.size(), 2U);
    s = step(*scheduler);
    EXPECT_EQ(s.plan.decode.size(), 2U);
    ASSERT_EQ(s.plan.prefill.size(), 1U);
    EXPECT_EQ(s.plan.prefill[0].new_tokens, 6);
  }
}

// A budget of 64 tokens: prompts wait beside decodes until the step would hold 32, or for 3 steps.
TEST(Schedulers, Prompts_wait_for_a_fuller_step_while_decodes_run) {
  SchedulerLimits l = limits(100, 64);
  l.decode_first = true;
  l.batch_wait_tokens = 32;
  l.batch_wait_steps = 3;
  const auto scheduler = make_scheduler(l);
  scheduler->add(4, 100);
  EXPECT_EQ(step(*scheduler).plan.prefill.size(), 1U);  // nothing decodes: no waiting
  step(*scheduler);
  scheduler->add(10, 100);
  for (int i = 0; i < 3; ++i) {  // 1 + 10 tokens
    EXPECT_THAT(step(*scheduler).plan.prefill, IsEmpty());
  }
  EXPECT_EQ(step(*scheduler).plan.prefill.size(), 1U);  // it has waited three steps
  scheduler->add(10, 100);
  EXPECT_THAT(step(*scheduler).plan.prefill, IsEmpty());
  scheduler->add(20, 100);
  EXPECT_EQ(step(*scheduler).plan.prefill.size(), 2U);  // 2 + 30 tokens are enough
  scheduler->add(10, 100);
  EXPECT_THAT(step(*scheduler).plan.prefill, IsEmpty());  // and the count began anew
}

TEST(Schedulers, A_balanced_micro_batch_takes_its_share_of_the_decodes) {
  SchedulerLimits l = limits(100, 64);
  l.micro_batches = 3;
  const auto scheduler = make_scheduler(l);
  for (int i = 0; i < 8; ++i) {
    scheduler->add(4, 6);
  }
  step(*scheduler);  // all eight prompts
  StepPlan first, second, third, fourth;
  scheduler->schedule(first);  // ceil(8 / 3) = 3 each, then 2
  scheduler->schedule(second);
  scheduler->schedule(third);
  scheduler->schedule(fourth);
  EXPECT_THAT(first.decode, ElementsAre(0, 1, 2));
  EXPECT_THAT(second.decode, ElementsAre(3, 4, 5));
  EXPECT_THAT(third.decode, ElementsAre(6, 7));
  EXPECT_TRUE(fourth.empty());
}

TEST(Schedulers, Prefill_first_never_mixes_prompts_and_decodes) {
  SchedulerLimits l = limits(100, 64);
  l.batching = Batching::prefill_first;
  const auto scheduler = make_scheduler(l);
  scheduler->add(20, 3);
  step(*scheduler);
  scheduler->add(100, 3);
  Step s = step(*scheduler);  // the new prompt goes before the running decode: 64 of 100
  EXPECT_THAT(s.plan.decode, IsEmpty());
  EXPECT_EQ(s.plan.prefill[0].new_tokens, 64);
  s = step(*scheduler);
  EXPECT_THAT(s.plan.decode, IsEmpty());
  EXPECT_EQ(s.plan.prefill[0].new_tokens, 36);
  s = step(*scheduler);
  EXPECT_THAT(s.plan.decode, ElementsAre(0, 1));
}

// Blocks of 16; the share of the output counted is 0.7. Each request: 16 + floor(0.7 x 160) = 128
// tokens, 8 blocks expected. 20 blocks hold two; a third would make 24.
TEST(Schedulers, Prefill_first_admits_by_the_expected_growth) {
  SchedulerLimits l = limits(20, 64);
  l.batching = Batching::prefill_first;
  const auto scheduler = make_scheduler(l);
  for (int i = 0; i < 3; ++i) {
    scheduler->add(16, 160);
  }
  const Step s = step(*scheduler);
  EXPECT_EQ(s.plan.prefill.size(), 2U);
  EXPECT_EQ(scheduler->waiting(), 1);
}

TEST(Schedulers, A_static_batch_is_padded_and_admits_nobody_until_it_ends) {
  SchedulerLimits l = limits(100, 4096, 2);
  l.batching = Batching::static_batch;
  const auto scheduler = make_scheduler(l);
  scheduler->add(10, 2);
  scheduler->add(30, 3);
  scheduler->add(5, 2);
  Step s = step(*scheduler);  // two rows padded to 30
  EXPECT_EQ(s.plan.prefill.size(), 2U);
  EXPECT_EQ(s.plan.shape.tokens(), 60);
  EXPECT_EQ(scheduler->used_blocks(), 4);  // 30 + 3 - 1 tokens each: 2 blocks
  s = step(*scheduler);
  EXPECT_EQ(s.plan.shape.decode_sequences, 2);
  EXPECT_EQ(s.plan.shape.decode_kv_tokens, 62);
  EXPECT_THAT(s.outcome.finished, ElementsAre(0));
  s = step(*scheduler);  // request 0 has ended; its row is still computed
  EXPECT_THAT(s.plan.decode, ElementsAre(1));
  EXPECT_EQ(s.plan.shape.decode_sequences, 2);
  EXPECT_EQ(s.plan.shape.decode_kv_tokens, 64);
  s = step(*scheduler);
  EXPECT_EQ(s.plan.prefill[0].request, 2);
}

SchedulerLimits random_limits(RandomStream& random) {
  SchedulerLimits l = limits(random.uniform_int(6, 40), random.uniform_int(8, 100),
                             static_cast<int>(random.uniform_int(1, 8)));
  l.batching = static_cast<Batching>(random.uniform_int(0, 2));
  l.admission = static_cast<Admission>(random.uniform_int(0, 1));
  l.decode_first = random.uniform() < 0.5;
  l.micro_batches = static_cast<int>(random.uniform_int(1, 3));
  return l;
}

// Random load in a small cache, with one to three steps in flight: nothing is lost.
TEST(Schedulers, Tokens_and_blocks_balance_under_random_load) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(seed, "scheduler property");
    const SchedulerLimits l = random_limits(random);
    const std::unique_ptr<Scheduler> owned = make_scheduler(l);
    Scheduler& scheduler = *owned;
    const auto depth = static_cast<std::size_t>(l.micro_batches);
    std::deque<StepPlan> in_flight;
    std::map<RequestId, std::int64_t> wanted, emitted;
    StepOutcome outcome;
    int idle_rounds = 0;
    for (int round = 0; round < 100'000 && !(round > 300 && scheduler.idle()); ++round) {
      if (round < 300 && random.uniform() < 0.3) {
        const std::int64_t input = random.uniform_int(1, 60);
        const std::int64_t output = random.uniform_int(1, 36);
        if (scheduler.admissible(input, output)) {
          wanted[scheduler.add(input, output)] = output;
        }
      }
      StepPlan plan;
      if (in_flight.size() < depth) {
        scheduler.schedule(plan);
        std::int64_t tokens = 0;
        for (const StepPlan::Item& item : plan.prefill) {
          tokens += item.new_tokens;
        }
        tokens += static_cast<std::int64_t>(plan.decode.size());
        if (l.batching == Batching::static_batch) {
          ASSERT_LE(tokens, plan.shape.tokens());  // padding
        } else {
          ASSERT_EQ(tokens, plan.shape.tokens());
          ASSERT_LE(tokens, l.max_num_batched_tokens);
        }
        ASSERT_GE(scheduler.free_blocks(), 0);
        ASSERT_LE(scheduler.running(), l.max_num_seqs);
      }
      idle_rounds = plan.empty() && in_flight.empty() && !scheduler.idle() ? idle_rounds + 1 : 0;
      ASSERT_LT(idle_rounds, 2) << "work is waiting and nothing runs";
      if (!plan.empty()) {
        in_flight.push_back(plan);
      }
      if (!in_flight.empty() && (in_flight.size() == depth || plan.empty())) {
        scheduler.complete(in_flight.front(), outcome);
        for (const RequestId id : in_flight.front().decode) {
          ++emitted[id];
        }
        for (const RequestId id : outcome.first_tokens) {
          ++emitted[id];
        }
        in_flight.pop_front();
      }
    }
    EXPECT_TRUE(scheduler.idle());
    EXPECT_EQ(emitted, wanted);
    EXPECT_EQ(scheduler.blocks_taken(), scheduler.blocks_freed());
    EXPECT_EQ(scheduler.free_blocks(), l.kv_blocks);
    if (l.admission == Admission::reserve_output && l.batching != Batching::prefill_first) {
      EXPECT_EQ(scheduler.preemptions(), 0);
    }
  }
}

}  // namespace
}  // namespace foretoken
