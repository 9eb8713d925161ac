#include "calibrate/bench/runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

namespace fs = std::filesystem;

const RunProgress kSilent = [](const std::string&, double, double) {};

// Cases whose times are made up, and a sentinel that is told what to say.
class RunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = (fs::path(::testing::TempDir()) /
             (std::string("runner_") + info->name() + std::to_string(getpid())))
                .string();
    for (int i = 0; i < 6; ++i) {
      cases_.push_back({"fake", {i}, [this, i](double) {
                          ++calls_[i];
                          Timing timing;
                          timing.best = timing.lower = timing.median = timing.p90 = i + 1;
                          timing.samples = 1;
                          return timing;
                        }});
    }
  }
  void TearDown() override { fs::remove(path_); }
  RunResult run(const Sentinel& sentinel) {
    Journal journal(path_, "here");
    return run_cases(cases_, options_, sentinel, journal, kSilent);
  }
  int all_calls() const {
    int sum = 0;
    for (const auto& [i, count] : calls_) {
      sum += count;
    }
    return sum;
  }

  std::string path_;
  std::vector<BenchCase> cases_;
  RunnerOptions options_;
  std::map<int, int> calls_;
};

TEST_F(RunnerTest, On_a_quiet_machine_every_case_gets_its_passes_and_no_more) {
  const RunResult result = run([](int) { return 1.0; });
  ASSERT_EQ(result.cases.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(result.cases[i].quiet_passes, 2);
    EXPECT_EQ(result.cases[i].seconds, static_cast<double>(i + 1));
  }
  EXPECT_EQ(all_calls(), 12);
  EXPECT_EQ(result.missing, 0);
  EXPECT_EQ(result.repeatability, 0);
}

TEST_F(RunnerTest, Cases_that_ran_while_the_machine_was_slow_are_visited_again) {
  int reading = 0;
  // Slow during the first sweep and some measurements more, which count until a fast reading shows
  // that they were slow.
  const RunResult result = run([&](int) { return ++reading <= 20 ? 2.0 : 1.0; });
  for (const CaseResult& one : result.cases) {
    EXPECT_GE(one.quiet_passes, 2);
  }
  EXPECT_EQ(all_calls(), 9 + 12);
}

TEST_F(RunnerTest, Cases_on_two_cores_are_judged_by_the_sentinel_on_two_cores) {
  for (std::size_t i = 3; i < 6; ++i) {
    cases_[i].cores = 2;
  }
  // Two cores slow each other down at all times, and a neighbour disturbs them for a while.
  int reading = 0;
  const RunResult result = run([&](int cores) {
    return cores == 1 ? 1.0 : ++reading <= 4 ? 4.0 : 3.0;
  });
  for (const CaseResult& one : result.cases) {
    EXPECT_EQ(one.quiet_passes, one.shape[0] >= 3 ? 3 : 2);
    EXPECT_TRUE(one.shape[0] >= 3 || one.passes == 2);
  }
  EXPECT_EQ(all_calls(), 17);  // the two disturbed passes were repeated, nothing else
}

TEST_F(RunnerTest, Where_two_quiet_passes_disagree_further_ones_decide) {
  // One case is twice as slow in its first pass, though the sentinel saw nothing.
  int visits = 0;
  cases_.push_back({"odd", {0}, [&visits](double) {
                      Timing timing;
                      const double seconds = ++visits == 1 ? 2 : 1;
                      timing.best = timing.lower = timing.median = timing.p90 = seconds;
                      timing.samples = 1;
                      return timing;
                    }});
  const RunResult result = run([](int) { return 1.0; });
  EXPECT_EQ(visits, 3);
  EXPECT_EQ(all_calls(), 12);
  EXPECT_EQ(result.cases.back().family, "odd");
  EXPECT_EQ(result.cases.back().seconds, 1);
}

TEST_F(RunnerTest, A_run_that_is_stopped_goes_on_where_it_was) {
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  int reading = 0;
  const auto sentinel = [&](int) {
    stop = ++reading >= 10;  // during the fifth measurement
    return 1.0;
  };
  EXPECT_TRUE(run(sentinel).stopped);
  EXPECT_EQ(all_calls(), 5);
  stop = false;
  const RunResult result = run([](int) { return 1.0; });
  EXPECT_FALSE(result.stopped);
  EXPECT_EQ(all_calls(), 12);  // nothing was measured twice, nothing is missing
  EXPECT_EQ(result.missing, 0);
}

TEST_F(RunnerTest, When_time_is_up_what_is_missing_is_counted) {
  options_.budget = 0;
  const RunResult result = run([](int) { return 1.0; });
  EXPECT_EQ(result.missing, 6);
  EXPECT_TRUE(result.cases.empty());
}

TEST(SummarisePasses, Times_are_stated_at_the_usual_pace) {
  // The core slows down by 4 % from the fiftieth pass on, which disturbs nobody; a codec follows.
  std::vector<PassResult> passes;
  for (int i = 0; i < 150; ++i) {
    const double pace = i < 50 ? 1 : 1.04;
    passes.push_back(
        {"codec.quantise.int8/g128", {i % 75}, i / 75, 3 * pace, 3 * pace, 3 * pace, 3, pace, 1});
  }
  for (const CaseResult& one : summarise_passes(passes, 1.06).cases) {
    EXPECT_EQ(one.quiet_passes, 2);
    // Within a dozen passes of the change either pace may be meant.
    const bool far = one.shape[0] < 35 || one.shape[0] > 65;
    EXPECT_NEAR(one.seconds, 3 * 1.04, far ? 1e-9 : 0.13) << one.shape[0];
  }
}

TEST(SummarisePasses, Two_fast_passes_that_agree_settle_a_case) {
  const auto pass = [](int number, double seconds) {
    return PassResult{"f", {1}, number, seconds, seconds, seconds, 3, 1, 1};
  };
  const RunResult settled = summarise_passes({pass(0, 9), pass(1, 2), pass(2, 2.04)}, 1.1);
  EXPECT_TRUE(settled.cases[0].settled);
  EXPECT_DOUBLE_EQ(settled.cases[0].seconds, 2.02);
  EXPECT_FALSE(summarise_passes({pass(0, 2), pass(1, 3)}, 1.1).cases[0].settled);
  EXPECT_FALSE(summarise_passes({pass(0, 2)}, 1.1).cases[0].settled);
}

TEST(SummarisePasses, On_two_cores_three_have_to_agree) {
  const auto pass = [](int number, double seconds) {
    return PassResult{"f", {1}, number, seconds, seconds, seconds, 3, 1, 2};
  };
  std::vector<PassResult> passes{pass(0, 2), pass(1, 3), pass(2, 3.3), pass(3, 2.02)};
  EXPECT_FALSE(summarise_passes(passes, 1.1).cases[0].settled);
  EXPECT_DOUBLE_EQ(summarise_passes(passes, 1.1).cases[0].seconds, 2.51);
  passes.push_back(pass(4, 2.04));
  EXPECT_TRUE(summarise_passes(passes, 1.1).cases[0].settled);
  EXPECT_DOUBLE_EQ(summarise_passes(passes, 1.1).cases[0].seconds, 2.02);
}

TEST(SummarisePasses, Only_quiet_passes_count_and_of_none_the_least) {
  const auto pass = [](std::int64_t shape, int number, double seconds, double sentinel) {
    return PassResult{"f", {shape}, number, seconds, seconds, seconds, 3, sentinel, 1};
  };
  // Case 1: quiet passes of 2, 4 and 3 s: median 3. Case 2: never quiet; least 5.
  const RunResult result =
      summarise_passes({pass(1, 0, 2, 1), pass(1, 1, 9, 1.5), pass(1, 2, 4, 1.05), pass(1, 3, 3, 1),
                        pass(2, 0, 6, 1.2), pass(2, 1, 5, 1.3)},
                       1.1);
  ASSERT_EQ(result.cases.size(), 2u);
  EXPECT_EQ(result.cases[0].seconds, 3);
  EXPECT_EQ(result.cases[0].quiet_passes, 3);
  EXPECT_EQ(result.cases[0].p90, 9);
  EXPECT_EQ(result.cases[1].seconds, 5);
  EXPECT_EQ(result.cases[1].quiet_passes, 0);
}

}  // namespace
}  // namespace foretoken::calibrate
