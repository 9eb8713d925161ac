#include "calibrate/ledger/report.h"

#include <gtest/gtest.h>

namespace foretoken::calibrate {
namespace {

ScoredRow scored(const char* engine, double measured, double predicted) {
  ScoredRow s;
  s.row.gpu = "h200_sxm";
  s.row.model = "meta-llama/Llama-3.1-70B";
  s.row.engine = engine;
  s.row.concurrency = 32;
  s.row.input = 1000;
  s.row.output = 500;
  s.row.measured["tpot_ms"] = measured;
  s.prediction.value["tpot_ms"] = predicted;
  s.prediction.interval["tpot_ms"] = {predicted - 1, predicted + 2};
  return s;
}

const page::Chart& chart(const page::Document& document, const std::string& title) {
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

TEST(LedgerPage, Every_scored_value_is_a_point_with_its_interval_in_the_series_of_its_group) {
  ScoredRow left_out = scored("trtllm", 1, 2);
  left_out.row.excluded = "a rule";
  const page::Document document = ledger_page(
      {scored("trtllm", 10, 12), scored("trtllm", 20, 19), scored("vllm", 8, 8), left_out});
  const page::Chart& by_engine = chart(document, "serving tpot_ms, by engine");
  ASSERT_EQ(by_engine.series.size(), 3U);  // two engines, and the line of equal values
  std::size_t points = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    for (const page::Point& point : by_engine.series[i].points) {
      ++points;
      EXPECT_EQ(point.low, point.y - 1);
      EXPECT_EQ(point.high, point.y + 2);
    }
  }
  EXPECT_EQ(points, 3U);
  EXPECT_EQ(by_engine.series[2].points.front().x, 8);
  EXPECT_EQ(by_engine.series[2].points.back().y, 20);
  EXPECT_EQ(chart(document, "serving tpot_ms, by GPU").series.size(), 2U);
}

// Errors of 20, 5 and 0 percent: the median is 5.
TEST(LedgerPage, The_table_states_the_spread_of_each_group) {
  const page::Document document =
      ledger_page({scored("vllm", 10, 12), scored("vllm", 20, 19), scored("vllm", 8, 8)});
  const auto& table = std::get<page::Table>(document.sections.front().items.front());
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0][0], "serving tpot_ms");
  EXPECT_EQ(table.rows[0][1], "3");
  EXPECT_EQ(table.rows[0][2], "5.0");
  EXPECT_EQ(table.rows[0][5], "67");  // 10 lies below 11 .. 14
}

TEST(LedgerPage, No_rows_make_a_page_that_says_so) {
  EXPECT_NE(page::html(ledger_page({}), "").find("No row is scored"), std::string::npos);
}

}  // namespace
}  // namespace foretoken::calibrate
