#include "calibrate/runtime/server.h"

#include <gtest/gtest.h>

#include "tests/calibrate/runtime/reference_model.h"

namespace foretoken::runtime {
namespace {

constexpr std::uint64_t kSeed = 11;

Workload workload_of(int requests, std::int64_t input, std::int64_t output, double gap_seconds) {
  Workload workload;
  for (int i = 0; i < requests; ++i) {
    workload.requests.push_back({time_from_seconds(i * gap_seconds), input + i, output});
  }
  return workload;
}

SchedulerLimits limits_of(std::int64_t blocks, std::int64_t budget) {
  SchedulerLimits limits;
  limits.kv_blocks = blocks;
  limits.max_num_batched_tokens = budget;
  limits.max_num_seqs = 8;
  return limits;
}

class ServerTest : public testing::Test {
 protected:
  ServedRun serve(const SchedulerLimits& limits, const Workload& workload) {
    Executor executor(builder_, weights_, {limits.kv_blocks, 256}, nullptr);
    Server server(executor, limits, tiny_model().vocab, nullptr, kSeed);
    return server.serve(workload, [this](const StepInput&, const StepResult&, double seconds) {
      EXPECT_GT(seconds, 0);
      ++steps_;
    });
  }

  RandomWeights weights_{kSeed};
  GraphBuilder builder_{tiny_model(), {}, {}};
  int steps_ = 0;
};

TEST_F(ServerTest, RecordsEveryRequestAndEveryStep) {
  const ServedRun run = serve(limits_of(64, 64), workload_of(5, 20, 6, 0.001));
  EXPECT_EQ(run.record.steps, steps_);
  ASSERT_EQ(run.tokens.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    const RequestRecord& record = run.record.requests[i];
    EXPECT_EQ(run.tokens[i].size(), 6U);
    EXPECT_GT(record.first_token, record.arrival);
    EXPECT_GT(record.finish, record.first_token);
    EXPECT_FALSE(record.failed());
  }
  EXPECT_EQ(run.record.gaps.size(), 5U * 5U);
  EXPECT_GT(run.record.prefill_steps.total, kTimeZero);
  EXPECT_GT(run.record.decode_steps.by_family[static_cast<std::size_t>(OpFamily::gemm)], kTimeZero);
}

// Batching, chunks and preemption must not change what a request reads and writes. Rows of a batch
// are computed alike whatever their neighbours, so tokens are equal.
TEST_F(ServerTest, TokensDoNotDependOnHowRequestsAreBatched) {
  const Workload workload = workload_of(6, 30, 24, 0);
  const ServedRun one_by_one = serve(limits_of(64, 512), workload_of(6, 30, 24, 0.2));
  const ServedRun together = serve(limits_of(64, 512), workload);
  const ServedRun chunked = serve(limits_of(64, 16), workload);
  const ServedRun preempted = serve(limits_of(12, 512), workload);
  EXPECT_GT(preempted.record.preemptions, 0);
  int same = 0;
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    same += one_by_one.tokens[i] == together.tokens[i] ? 1 : 0;
    same += one_by_one.tokens[i] == chunked.tokens[i] ? 1 : 0;
    same += one_by_one.tokens[i] == preempted.tokens[i] ? 1 : 0;
  }
  EXPECT_GE(same, 16) << "of 18; two may differ by a tie that another order of sums decides";
}

}  // namespace
}  // namespace foretoken::runtime
