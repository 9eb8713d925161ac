// The numbers of the pages are those of the results.
#include "reports/run_page.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "reports/run_report.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken::reports {
namespace {

using namespace testing_fixtures;

struct Simulated {
  explicit Simulated(int replications) : simulation(make(scenario())) {
    RunOptions options;
    options.replications = replications;
    options.recording.timeline = true;
    result = simulate(simulation, options);
    document = run_page(simulation, result, {"a warning"}, sweep_load(simulation, 2, {}));
  }

  static ScenarioSpec scenario() {
    ScenarioSpec s = small_scenario();
    s.parallel.tensor = 2;
    return s;
  }

  const page::Chart& chart(const std::string& title) const {
    for (const page::Section& section : document.sections) {
      for (const page::Item& item : section.items) {
        const auto* found = std::get_if<page::Chart>(&item);
        if (found != nullptr && found->title == title) {
          return *found;
        }
      }
    }
    throw std::runtime_error("no chart " + title);
  }

  Simulation simulation;
  Result result;
  page::Document document;
};

TEST(RunPage, The_quantiles_meet_the_summary_and_carry_its_intervals) {
  const Simulated run(4);
  const page::Chart& chart = run.chart("Time to first token");
  EXPECT_DOUBLE_EQ(chart.series[0].points[50].y, run.result.point.ttft.median);
  EXPECT_DOUBLE_EQ(chart.series[0].points[99].y, run.result.point.ttft.p99);
  const page::Point& p99 = chart.series[1].points.back();
  EXPECT_EQ(p99.label, "p99");
  EXPECT_EQ(p99.low, run.result.intervals.at("p99_ttft_ms").low);
  EXPECT_EQ(p99.high, run.result.intervals.at("p99_ttft_ms").high);
}

TEST(RunPage, Waterfalls_add_up_to_the_means_of_the_run) {
  const Simulated run(0);
  for (const auto& [title, mean] :
       {std::pair<std::string, double>{"Time to first token, term by term",
                                       run.result.point.ttft.mean},
        {"Time per output token, term by term", run.result.point.tpot.mean}}) {
    double sum = 0;
    for (const page::Point& point : run.chart(title).series.front().points) {
      sum += point.y;
    }
    EXPECT_NEAR(sum, mean, 1e-9 * mean) << title;
  }
}

TEST(RunPage, Shares_of_provenance_and_families_add_up) {
  const Simulated run(0);
  for (const char* title : {"What the numbers rest on", "Step time by operator"}) {
    double sum = 0;
    for (const page::Point& point : run.chart(title).series.front().points) {
      sum += point.y;
    }
    EXPECT_NEAR(sum, 100, 1e-9) << title;
  }
}

TEST(RunPage, Without_replications_there_is_no_interval_anywhere) {
  const Simulated run(0);
  EXPECT_EQ(run.chart("Time to first token").series.size(), 1U);
  const std::string html = page::html(run.document, "");
  EXPECT_EQ(html.find("90 % interval"), std::string::npos);
  EXPECT_NE(html.find("No intervals"), std::string::npos);
}

TEST(RunPage, A_workload_without_rate_or_without_answers_still_makes_a_page) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  scenario.workload.requests = 3;
  scenario.workload.lengths.output.low = scenario.workload.lengths.output.high = 1;  // no TPOT
  const Simulation simulation = make(scenario);
  RunOptions options;
  options.replications = 0;
  options.recording.timeline = true;
  const Result result = simulate(simulation, options);
  const std::string html =
      page::html(run_page(simulation, result, {}, sweep_load(simulation, 1, {})), "library");
  EXPECT_NE(html.find("Not drawn"), std::string::npos);
  EXPECT_EQ(html.find(">nan<"), std::string::npos);
  EXPECT_EQ(html.find(">inf<"), std::string::npos);
}

TEST(ExplainPage, Has_both_waterfalls_and_the_memory) {
  const Simulated run(0);
  const std::string html =
      page::html(explain_page(run.simulation, explain(run.simulation, run.result), {"a note"}), "");
  EXPECT_NE(html.find("Time to first token, term by term"), std::string::npos);
  EXPECT_NE(html.find("Time per output token, term by term"), std::string::npos);
  EXPECT_NE(html.find("Memory per GPU"), std::string::npos);
  EXPECT_NE(html.find("a note"), std::string::npos);
}

}  // namespace
}  // namespace foretoken::reports
