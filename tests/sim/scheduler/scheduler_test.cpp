#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/scheduler/continuous.h"

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

TEST(Scheduler, A_request_prefills_in_one_step_and_then_decodes_token_by_token) {
  ContinuousScheduler scheduler(limits(100));
  scheduler.add(20, 3);
  Step s = step(scheduler);
  ASSERT_EQ(s.plan.prefill.size(), 1U);
  EXPECT_EQ(s.plan.prefill[0].new_tokens, 20);
  EXPECT_THAT(s.outcome.first_tokens, ElementsAre(0));
  s = step(scheduler);
  EXPECT_THAT(s.plan.decode, ElementsAre(0));
  EXPECT_EQ(s.plan.shape.decode_kv_tokens, 21);  // 20 of the prompt and itself
  s = step(scheduler);
  EXPECT_THAT(s.outcome.finished, ElementsAre(0));
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.used_blocks(), 0);
}

TEST(Scheduler, Prompts_are_cut_to_the_token_budget_after_the_running_requests) {
  ContinuousScheduler scheduler(limits(100, 32));
  scheduler.add(10, 5);
  step(scheduler);
  scheduler.add(100, 2);
  // One token for the running request, 31 left: chunks of 31, 31, 31 and 7.
  for (const int chunk : {31, 31, 31, 7}) {
    const Step s = step(scheduler);
    ASSERT_EQ(s.plan.prefill.size(), 1U);
    EXPECT_EQ(s.plan.prefill[0].new_tokens, chunk);
    EXPECT_THAT(s.plan.decode, ElementsAre(0));
    EXPECT_EQ(s.outcome.first_tokens.empty(), chunk != 7);
  }
}

TEST(Scheduler, Without_chunks_a_prompt_waits_until_it_fits_whole) {
  SchedulerLimits l = limits(100, 32);
  l.chunked_prefill = false;
  ContinuousScheduler scheduler(l);
  EXPECT_FALSE(scheduler.admissible(40, 1));
  scheduler.add(20, 2);
  scheduler.add(20, 2);
  Step s = step(scheduler);
  EXPECT_EQ(s.plan.prefill.size(), 1U);  // 12 left, 20 needed
  s = step(scheduler);
  EXPECT_EQ(s.plan.prefill.size(), 1U);  // one decodes, 31 left
  EXPECT_THAT(s.plan.decode, ElementsAre(0));
}

TEST(Scheduler, No_more_requests_run_than_max_num_seqs) {
  ContinuousScheduler scheduler(limits(100, 64, 2));
  for (int i = 0; i < 3; ++i) {
    scheduler.add(4, 2);
  }
  const Step s = step(scheduler);
  EXPECT_EQ(s.plan.prefill.size(), 2U);
  EXPECT_EQ(scheduler.waiting(), 1);
}

TEST(Scheduler, When_blocks_run_out_the_last_admitted_request_is_preempted_and_recomputed) {
  // Three blocks of 16: each prompt of 16 takes one; at the 17th token each needs another.
  ContinuousScheduler scheduler(limits(3));
  scheduler.add(16, 4);
  scheduler.add(16, 4);
  step(scheduler);
  EXPECT_EQ(scheduler.used_blocks(), 2);
  Step s = step(scheduler);  // request 0 takes the third block, request 1 finds none and goes
  EXPECT_THAT(s.plan.decode, ElementsAre(0));
  EXPECT_EQ(scheduler.preemptions(), 1);
  EXPECT_EQ(scheduler.waiting(), 1);
  step(scheduler);
  s = step(scheduler);  // request 0 emits its fourth token; request 1 has had no room (17 tokens, 2
                        // blocks)
  EXPECT_THAT(s.outcome.finished, ElementsAre(0));
  s = step(scheduler);
  // Recomputed with the one output token it had: 17 tokens, and the second output token comes.
  ASSERT_EQ(s.plan.prefill.size(), 1U);
  EXPECT_EQ(s.plan.prefill[0].new_tokens, 17);
  EXPECT_EQ(scheduler.generated(1), 2);
}

TEST(Scheduler, A_request_in_flight_is_not_scheduled_again) {
  ContinuousScheduler scheduler(limits(100));
  scheduler.add(8, 3);
  StepPlan first, second;
  scheduler.schedule(first);
  scheduler.add(8, 3);
  scheduler.schedule(second);
  EXPECT_EQ(first.prefill.size(), 1U);
  ASSERT_EQ(second.prefill.size(), 1U);
  EXPECT_EQ(second.prefill[0].request, 1);
  StepPlan third;
  scheduler.schedule(third);
  EXPECT_TRUE(third.empty());
}

TEST(Scheduler, The_window_cuts_the_cached_tokens_of_decode) {
  SchedulerLimits l = limits(100);
  l.window = 10;
  ContinuousScheduler scheduler(l);
  scheduler.add(30, 3);
  step(scheduler);
  const Step s = step(scheduler);
  EXPECT_EQ(s.plan.shape.decode_kv_tokens, 31);
  EXPECT_EQ(s.plan.shape.decode_kv_tokens_windowed, 10);
}

TEST(Scheduler, A_request_larger_than_the_cache_is_not_admissible) {
  const ContinuousScheduler scheduler(limits(4));  // 64 tokens
  EXPECT_TRUE(scheduler.admissible(60, 5));        // stores 64: the last token is never stored
  EXPECT_FALSE(scheduler.admissible(60, 6));
}

}  // namespace
}  // namespace foretoken
