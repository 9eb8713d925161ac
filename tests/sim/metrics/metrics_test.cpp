#include "sim/metrics/metrics.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

constexpr Time ms(std::int64_t value) { return Time(value * 1'000'000'000); }

RequestRecord request(std::int64_t arrival, std::int64_t first, std::int64_t finish,
                      std::int64_t output) {
  RequestRecord r;
  r.arrival = ms(arrival);
  r.first_token = ms(first);
  r.finish = ms(finish);
  r.input_tokens = 10;
  r.output_tokens = output;
  r.replica = 0;
  return r;
}

TEST(Percentile, It_interpolates_between_order_statistics) {
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 50), 2.5);   // position 1.5
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 99), 3.97);  // position 2.97
  EXPECT_DOUBLE_EQ(percentile({7}, 99), 7);
}

TEST(Distribution, The_weighted_form_equals_the_plain_one) {
  const Distribution plain = distribution({1, 1, 1, 5, 2, 2, 9});
  const Distribution weighted =
      weighted_distribution({{ms(1), 3}, {ms(5), 1}, {ms(2), 1}, {ms(9), 1}, {ms(2), 1}});
  EXPECT_EQ(weighted.count, plain.count);
  EXPECT_DOUBLE_EQ(weighted.mean, plain.mean);
  EXPECT_DOUBLE_EQ(weighted.std_dev, plain.std_dev);
  EXPECT_DOUBLE_EQ(weighted.median, plain.median);
  EXPECT_DOUBLE_EQ(weighted.p90, plain.p90);
  EXPECT_DOUBLE_EQ(weighted.p99, plain.p99);
}

TEST(Summary, Definitions_are_those_of_the_header) {
  RunRecord run;
  run.requests = {request(0, 100, 400, 4), request(50, 250, 250, 1)};
  run.end = ms(400);
  const Summary s = summarise(run, 0, std::nullopt);
  EXPECT_EQ(s.completed, 2);
  EXPECT_DOUBLE_EQ(s.ttft.mean, 150);  // (100 + 200) / 2
  EXPECT_EQ(s.tpot.count, 1);          // the request of one token has none
  EXPECT_DOUBLE_EQ(s.tpot.mean, 100);  // 300 ms over three gaps
  EXPECT_DOUBLE_EQ(s.e2el.mean, 300);  // (400 + 200) / 2
  EXPECT_DOUBLE_EQ(s.duration_s, 0.4);
  EXPECT_DOUBLE_EQ(s.request_throughput, 5);
  EXPECT_DOUBLE_EQ(s.output_throughput, 12.5);
  EXPECT_DOUBLE_EQ(s.total_token_throughput, 62.5);  // 20 in, 5 out
}

TEST(Summary, Warm_up_is_left_out_of_percentiles_but_not_of_throughput) {
  RunRecord run;
  run.requests = {request(0, 1000, 1000, 1), request(10, 20, 20, 1), request(20, 40, 40, 1),
                  request(30, 60, 60, 1)};
  run.end = ms(1000);
  const Summary s = summarise(run, 0.25, std::nullopt);
  EXPECT_DOUBLE_EQ(s.ttft.mean, 20);  // 10, 20, 30
  EXPECT_DOUBLE_EQ(s.request_throughput, 4);
}

TEST(Summary, Goodput_counts_requests_that_meet_every_target) {
  RunRecord run;
  run.requests = {request(0, 100, 400, 4), request(0, 300, 400, 4), request(0, 100, 130, 4)};
  run.end = ms(1000);
  SloSpec slo;
  slo.ttft = ms(200);
  slo.tpot = ms(50);
  const Summary s = summarise(run, 0, slo);
  ASSERT_TRUE(s.request_goodput.has_value());
  EXPECT_DOUBLE_EQ(*s.request_goodput, 1);  // only the third meets both in this second
}

TEST(Summary, A_growing_queue_is_called_overload_and_a_steady_one_is_not) {
  RunRecord run;
  for (int i = 0; i < 200; ++i) {
    run.requests.push_back(request(i * 10, i * 20 + 10, i * 20 + 10, 1));
  }
  run.end = run.requests.back().finish;
  run.waiting_half = 50;
  run.waiting_end = 100;
  run.finished_by_last_arrival = 100;
  const Summary s = summarise(run, 0, std::nullopt);
  ASSERT_TRUE(s.overload.has_value());
  EXPECT_NEAR(s.overload->offered, 100, 1e-9);  // 199 gaps of 10 ms
  EXPECT_NEAR(s.overload->served, 100 / 1.99, 1e-9);
  run.waiting_half = 95;
  EXPECT_FALSE(summarise(run, 0, std::nullopt).overload.has_value());
}

TEST(Interval, Order_statistics_at_their_plotting_positions) {
  std::vector<double> values;
  for (int i = 20; i >= 1; --i) {
    values.push_back(i);
  }
  // Position p n - 1/2: 0.05 x 20 - 0.5 = 0.5, so half-way between the first two.
  const Interval interval = replication_interval(values, 0.9);
  EXPECT_DOUBLE_EQ(interval.low, 1.5);
  EXPECT_DOUBLE_EQ(interval.high, 19.5);
}

}  // namespace
}  // namespace foretoken
