#include "sim/plan/sweep.h"

#include <gtest/gtest.h>

#include <limits>

#include "sim/core/error.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using testing_fixtures::make;
using testing_fixtures::small_scenario;
using Values = std::vector<std::string>;

TEST(Sweep, Commas_inside_brackets_and_quotes_do_not_part_values) {
  const VaryKey key = parse_vary("precision.weights={default: int8, lm_head: bf16},bf16, \"a,b\"");
  EXPECT_EQ(key.key, "precision.weights");
  EXPECT_EQ(key.values, (Values{"{default: int8, lm_head: bf16}", "bf16", "\"a,b\""}));
}

TEST(Sweep, A_vary_without_key_or_values_is_refused) {
  for (const char* text : {"", "=a", "key", "key=", "key=a,,b", "key=a,a"}) {
    EXPECT_THROW(parse_vary(text), InputError) << text;
  }
}

TEST(Sweep, Combinations_go_through_the_last_key_first) {
  const std::vector<VaryKey> keys{{"a", {"1", "2"}}, {"b", {"x", "y", "z"}}};
  const auto rows = cross_product(keys);
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(assignments(keys, rows[0]), (Values{"a=1", "b=x"}));
  EXPECT_EQ(assignments(keys, rows[1]), (Values{"a=1", "b=y"}));
  EXPECT_EQ(assignments(keys, rows[5]), (Values{"a=2", "b=z"}));
}

TEST(Sweep, A_key_twice_and_too_many_combinations_are_refused) {
  EXPECT_THROW(cross_product(std::vector<VaryKey>{{"a", {"1"}}, {"a", {"2"}}}), InputError);
  VaryKey many{"a", {}};
  for (int i = 0; i < 101; ++i) {
    many.values.push_back(std::to_string(i));
  }
  VaryKey other = many;
  other.key = "b";
  EXPECT_THROW(cross_product(std::vector{many, other}), InputError);
}

const std::vector<VaryKey> kTensor{{"tensor", {"1", "2", "4"}}};

std::vector<SweepRow> run(int threads, int replications) {
  SweepOptions options;
  options.threads = threads;
  options.replications = replications;
  return sweep(
      kTensor,
      [](std::size_t row) {
        ScenarioSpec scenario = small_scenario();
        scenario.parallel.tensor = 1 << row;
        scenario.gpu_hour = 3.6;
        scenario.precision.all_reduce = parse_format("int8", FormatRole::wire);
        return make(std::move(scenario));
      },
      options);
}

TEST(Sweep, Rows_are_what_each_simulation_says_whatever_the_threads) {
  const auto one = run(1, 4), three = run(3, 4);
  ASSERT_EQ(one.size(), 3u);
  for (std::size_t i = 0; i < one.size(); ++i) {
    ScenarioSpec scenario = small_scenario();
    scenario.parallel.tensor = 1 << i;
    scenario.precision.all_reduce = parse_format("int8", FormatRole::wire);
    RunOptions options;
    options.replications = 4;
    const Result alone = simulate(make(std::move(scenario)), options);
    for (const auto* rows : {&one, &three}) {
      EXPECT_EQ((*rows)[i].point.ttft.mean, alone.point.ttft.mean);
      EXPECT_EQ((*rows)[i].intervals.at("mean_ttft_ms").low,
                alone.intervals.at("mean_ttft_ms").low);
      EXPECT_EQ((*rows)[i].runs.size(), 4u);
    }
    EXPECT_EQ(one[i].gpus, 1 << i);
    EXPECT_EQ(one[i].algorithm.empty(), i == 0);
  }
}

// 3.6 an hour and GPU is 0.001 a second: cost per million tokens = 1000 x GPUs / (tokens/s).
TEST(Sweep, Cost_follows_from_price_and_throughput) {
  const auto rows = run(2, 2);
  const Measure& cost = measure("cost_per_million_output_tokens");
  for (const SweepRow& row : rows) {
    EXPECT_NEAR(*cost.value(row), 1000.0 * row.gpus / row.point.output_throughput, 1e-9);
    const auto interval = cost.interval(row);
    const Interval throughput = row.intervals.at("output_throughput");
    ASSERT_TRUE(interval);
    EXPECT_NEAR(interval->high, 1000.0 * row.gpus / throughput.low, 1e-9);
  }
}

// 110 tokens take 7 blocks of 16; the cache of the row's plan holds so many of them.
TEST(Sweep, The_largest_batch_is_what_the_cache_holds) {
  for (const SweepRow& row : run(1, 0)) {
    EXPECT_EQ(row.largest_batch, row.memory.blocks / 7);
  }
}

TEST(Sweep, A_row_that_cannot_be_built_keeps_its_reason_and_the_others_run) {
  SweepOptions options;
  options.replications = 0;
  int last = 0, total = 0;
  options.progress = [&](int done, int all) {
    last = done;
    total = all;
  };
  const auto rows = sweep(
      kTensor,
      [](std::size_t row) {
        if (row == 1) {
          throw InputError("does not fit");
        }
        return make(small_scenario());
      },
      options);
  EXPECT_EQ(rows[1].reason, "does not fit");
  EXPECT_TRUE(rows[0].reason.empty());
  EXPECT_GT(rows[2].point.completed, 0);
  EXPECT_EQ(last, 3);
  EXPECT_EQ(total, 3);
  EXPECT_EQ(standings(rows, measure("mean_ttft_ms"))[1], Standing::none);
}

TEST(Sweep, A_fault_of_ours_is_no_reason_of_a_row) {
  EXPECT_THROW(sweep(kTensor, [](std::size_t) -> Simulation { throw InternalError("bug"); }, {}),
               InternalError);
}

SweepRow row_with(double ttft, Interval interval, std::vector<double> runs) {
  SweepRow row;
  row.point.ttft.mean = ttft;
  row.intervals["mean_ttft_ms"] = interval;
  for (const double run : runs) {
    row.runs.emplace_back().ttft.mean = run;
  }
  return row;
}

TEST(Standings, Overlap_is_a_tie_unless_the_same_draws_tell_them_apart) {
  const std::vector<SweepRow> rows{
      row_with(12, {8, 16}, {7.5, 12, 15}),    // better than the best in the first draw: a tie
      row_with(10, {8, 12}, {8, 10, 12}),      // the best
      row_with(11, {9, 13}, {8.8, 11, 13.2}),  // overlaps, but always a tenth worse
      row_with(20, {18, 22}, {18, 20, 22}),    // apart
  };
  const std::vector<Standing> expected{Standing::tie, Standing::best, Standing::close,
                                       Standing::worse};
  EXPECT_EQ(standings(rows, measure("mean_ttft_ms")), expected);
}

TEST(Standings, Exact_values_tie_only_when_equal) {
  std::vector<SweepRow> rows(3);
  rows[0].largest_batch = 5;
  rows[1].largest_batch = 7;
  rows[2].largest_batch = 7;
  const std::vector<Standing> expected{Standing::worse, Standing::best, Standing::tie};
  EXPECT_EQ(standings(rows, measure("largest_batch")), expected);
}

// Answers with the number of questions asked so far.
class CountingProbe final : public ErrorProbe {
 public:
  std::optional<ErrorFigure> weights(const Format&) override { return next(); }
  std::optional<ErrorFigure> gemm(const Format&, const Format&) override { return next(); }
  std::optional<ErrorFigure> all_reduce(const Format&, int ranks, const std::string&) override {
    EXPECT_GT(ranks, 1);
    return next();
  }
  std::string data() const override { return "nothing"; }
  int asked = 0;

 private:
  ErrorFigure next() {
    ErrorFigure figure;
    figure.all.db = ++asked;
    return figure;
  }
};

TEST(ProbeErrors, Each_question_is_asked_once) {
  auto rows = run(2, 0);
  CountingProbe probe;
  probe_errors(rows, probe);
  // Weights and GEMM are alike in all rows; all-reduces of 2 and of 4 ranks.
  EXPECT_EQ(probe.asked, 4);
  EXPECT_FALSE(rows[0].all_reduce_error);
  EXPECT_EQ(rows[0].weights_error->all.db, rows[2].weights_error->all.db);
  EXPECT_NE(rows[1].all_reduce_error->all.db, rows[2].all_reduce_error->all.db);
}

}  // namespace
}  // namespace foretoken
