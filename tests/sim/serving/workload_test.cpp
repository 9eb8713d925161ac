#include "sim/serving/workload.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/error.h"

namespace foretoken {
namespace {

WorkloadSpec spec(ArrivalSpec::Kind kind, std::int64_t requests) {
  WorkloadSpec s;
  s.arrivals.kind = kind;
  s.arrivals.rate = 10;
  s.arrivals.cv = 2;
  s.requests = requests;
  s.lengths.input.low = s.lengths.input.high = 100;
  s.lengths.output.low = s.lengths.output.high = 20;
  return s;
}

struct GapMoments {
  double mean, cv;
};

GapMoments gap_moments(const Workload& workload) {
  double sum = 0, squares = 0;
  const auto n = static_cast<double>(workload.requests.size() - 1);
  for (std::size_t i = 1; i < workload.requests.size(); ++i) {
    const double gap = to_seconds(workload.requests[i].arrival - workload.requests[i - 1].arrival);
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / n;
  return {mean, std::sqrt(squares / n - mean * mean) / mean};
}

// 200,000 gaps: the standard error of the mean is cv / 447, of the cv below one per cent.
TEST(Workload, Gaps_have_the_rate_and_the_variation_asked_for) {
  const auto moments = [](ArrivalSpec::Kind kind) {
    return gap_moments(make_workload(spec(kind, 200'001), nullptr, nullptr, 5));
  };
  const GapMoments constant = moments(ArrivalSpec::Kind::constant);
  EXPECT_NEAR(constant.mean, 0.1, 1e-9);
  EXPECT_NEAR(constant.cv, 0, 1e-4);
  const GapMoments poisson = moments(ArrivalSpec::Kind::poisson);
  EXPECT_NEAR(poisson.mean, 0.1, 0.001);
  EXPECT_NEAR(poisson.cv, 1, 0.02);
  const GapMoments gamma = moments(ArrivalSpec::Kind::gamma);
  EXPECT_NEAR(gamma.mean, 0.1, 0.002);
  EXPECT_NEAR(gamma.cv, 2, 0.05);
  const GapMoments weibull = moments(ArrivalSpec::Kind::weibull);
  EXPECT_NEAR(weibull.mean, 0.1, 0.002);
  EXPECT_NEAR(weibull.cv, 2, 0.08);
}

TEST(Workload, The_weibull_shape_of_an_exponential_is_one) {
  EXPECT_NEAR(weibull_shape(1), 1, 1e-9);
}

TEST(Workload, A_change_of_rate_leaves_the_lengths_alone) {
  WorkloadSpec s = spec(ArrivalSpec::Kind::poisson, 50);
  s.lengths.input.kind = LengthSpec::Kind::lognormal;
  s.lengths.input.median = 300;
  s.lengths.input.sigma = 1;
  s.lengths.input.low = 1;
  s.lengths.input.high = 5000;
  const Workload slow = make_workload(s, nullptr, nullptr, 9);
  s.arrivals.rate = 100;
  const Workload fast = make_workload(s, nullptr, nullptr, 9);
  for (std::size_t i = 0; i < slow.requests.size(); ++i) {
    EXPECT_EQ(slow.requests[i].input_tokens, fast.requests[i].input_tokens);
  }
}

TEST(Workload, Lengths_stay_within_their_bounds) {
  WorkloadSpec s = spec(ArrivalSpec::Kind::all_at_once, 20'000);
  s.lengths.input.kind = LengthSpec::Kind::uniform;
  s.lengths.input.low = 5;
  s.lengths.input.high = 9;
  s.lengths.output.kind = LengthSpec::Kind::lognormal;
  s.lengths.output.median = 50;
  s.lengths.output.sigma = 2;
  s.lengths.output.low = 10;
  s.lengths.output.high = 200;
  double sum = 0;
  for (const Request& r : make_workload(s, nullptr, nullptr, 3).requests) {
    ASSERT_GE(r.input_tokens, 5);
    ASSERT_LE(r.input_tokens, 9);
    ASSERT_GE(r.output_tokens, 10);
    ASSERT_LE(r.output_tokens, 200);
    EXPECT_EQ(r.arrival, kTimeZero);
    sum += static_cast<double>(r.input_tokens);
  }
  EXPECT_NEAR(sum / 20'000, 7, 0.05);
}

TEST(Workload, A_cut_takes_from_the_prompt_first_and_leaves_a_token_on_each_side) {
  Trace trace;
  trace.requests = {{kTimeZero, 5000, 100}, {kTimeZero, 10, 9000}, {kTimeZero, 0, 0}};
  WorkloadSpec s = spec(ArrivalSpec::Kind::poisson, 3);
  s.lengths.kind = LengthSpec::Kind::trace;
  s.lengths.max_total = 4096;
  const Workload w = make_workload(s, nullptr, &trace, 1);
  EXPECT_EQ(w.requests[0].input_tokens, 3996);
  EXPECT_EQ(w.requests[0].output_tokens, 100);
  EXPECT_EQ(w.requests[1].input_tokens, 1);
  EXPECT_EQ(w.requests[1].output_tokens, 4095);
  EXPECT_EQ(w.requests[2].input_tokens, 1);
  EXPECT_EQ(w.requests[2].output_tokens, 1);
}

TEST(Workload, A_trace_without_times_cannot_give_arrivals) {
  Trace trace;
  trace.requests = {{kTimeZero, 5, 5}};
  EXPECT_THROW(make_workload(spec(ArrivalSpec::Kind::trace, 0), &trace, &trace, 1), InputError);
  trace.has_arrivals = true;
  EXPECT_EQ(make_workload(spec(ArrivalSpec::Kind::trace, 0), &trace, &trace, 1).requests.size(),
            1U);
  EXPECT_THROW(make_workload(spec(ArrivalSpec::Kind::trace, 2), &trace, &trace, 1), InputError);
}

}  // namespace
}  // namespace foretoken
