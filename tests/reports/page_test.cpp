// What is in a page's source. tests/reports/browser_test.cpp opens pages in a browser.
#include "reports/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace foretoken::page {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++n;
  }
  return n;
}

Document one_chart(Chart chart) {
  Document document;
  document.title = "Title";
  document.sections.push_back({"Section", {std::move(chart)}});
  return document;
}

Chart line_chart() {
  Chart chart;
  chart.title = "Queue";
  chart.description = "Requests that wait.";
  chart.x.title = "Time, s";
  chart.y.title = "Requests";
  chart.series.push_back({"waiting", {{0, 1, 0.5, 2}, {1, 1.0 / 3, 0.25, kNone}, {2, kNone}}});
  chart.series.push_back({"running", {{0, 4}, {1, 5}, {2, 6}}});
  return chart;
}

// The JSON that the chart is drawn from.
nlohmann::json drawn(const std::string& html) {
  const std::string open = "<script type=\"application/json\">";
  const std::size_t begin = html.find(open) + open.size();
  return nlohmann::json::parse(html.substr(begin, html.find("</script>", begin) - begin));
}

TEST(Page, Text_of_the_caller_never_becomes_markup) {
  Document document;
  document.title = "<script>alert(1)</script>";
  document.facts = {{"a&b", "\"quoted\" 'text'"}};
  document.warnings = {"1 < 2"};
  Chart chart = line_chart();
  chart.series.front().name = "</script><b>";
  document.sections.push_back({"<i>", {Text{"<p>"}, chart}});
  const std::string page = html(document, "library");
  for (const char* markup : {"<script>alert", "<b>", "<i>", "<p><p>", "1 < 2"}) {
    EXPECT_THAT(page, Not(HasSubstr(markup)));
  }
  EXPECT_THAT(page, HasSubstr("a&amp;b"));
  EXPECT_THAT(page, HasSubstr("&quot;quoted&quot; &#39;text&#39;"));
  EXPECT_EQ(drawn(page)["series"][0]["name"], "</script><b>");
}

TEST(Page, A_chart_and_its_table_hold_the_same_six_digits_and_gaps) {
  const std::string page = html(one_chart(line_chart()), "library");
  const nlohmann::json chart = drawn(page);
  EXPECT_EQ(chart["kind"], "line");
  EXPECT_EQ(chart["series"][0]["x"], nlohmann::json({0, 1, 2}));
  EXPECT_EQ(chart["series"][0]["y"], nlohmann::json({1, 0.333333, nullptr}));
  EXPECT_EQ(chart["series"][0]["high"], nlohmann::json({2, nullptr, nullptr}));
  EXPECT_FALSE(chart["series"][1].contains("low"));
  // One row per x, as both series share it.
  EXPECT_THAT(page,
              HasSubstr("<tr><th scope=\"row\" class=\"n\">1</th><td class=\"n\">0.333333</td>"
                        "<td class=\"n\">0.25</td><td class=\"n\"></td>"
                        "<td class=\"n\">5</td></tr>"));
  EXPECT_THAT(page, HasSubstr("running: Requests"));
}

TEST(Page, Points_with_labels_have_rows_of_their_own) {
  Chart chart;
  chart.kind = Chart::Kind::scatter;
  chart.x.title = "Error";
  chart.y.title = "Speed";
  chart.series.push_back({"wire", {{0.1, 10, 9, 11, "int8"}, {0.5, 20, 19, 21, "int4"}}});
  EXPECT_THAT(html(one_chart(chart), "library"),
              HasSubstr("<tr><th scope=\"row\">int4</th><td>wire</td><td class=\"n\">0.5</td><td "
                        "class=\"n\">20</td><td class=\"n\">19</td><td class=\"n\">21</td></tr>"));
}

TEST(Page, A_waterfall_ends_with_its_sum) {
  Chart chart;
  chart.kind = Chart::Kind::waterfall;
  chart.categories = {"a", "b"};
  chart.series.push_back({"ms", {{0, 1.5}, {0, 2}}});
  EXPECT_THAT(html(one_chart(chart), ""), HasSubstr("Sum</th><td class=\"n\">3.5</td>"));
}

TEST(Page, Points_that_do_not_match_the_categories_are_a_fault) {
  Chart chart;
  chart.kind = Chart::Kind::bar;
  chart.categories = {"a", "b"};
  chart.series.push_back({"ms", {{0, 1}}});
  EXPECT_ANY_THROW(html(one_chart(chart), "library"));
  Document document;
  document.sections.push_back({"s", {Table{"t", {{"one"}}, {{"1", "2"}}}}});
  EXPECT_ANY_THROW(html(document, ""));
}

TEST(Page, Without_the_chart_library_tables_stand_open_and_nothing_runs) {
  const std::string page = html(one_chart(line_chart()), "");
  EXPECT_THAT(page, HasSubstr("<details open>"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<canvas")));
  EXPECT_THAT(page, HasSubstr("0.333333"));
}

TEST(Page, Every_figure_has_a_name_a_description_and_a_place_in_the_focus_order) {
  Document document = one_chart(line_chart());
  document.sections.push_back(
      {"Drawing", {Drawing{"Links", "All idle.", "<svg></svg>", {"Links", {{"link"}}, {{"a"}}}}}});
  const std::string page = html(document, "library");
  EXPECT_EQ(count(page, "<figure"), 2U);
  EXPECT_EQ(count(page, "role=\"img\" aria-label=\""), 2U);
  EXPECT_EQ(count(page, "<canvas tabindex=\"0\""), 1U);
  EXPECT_EQ(count(page, "<summary>"), 2U);
  EXPECT_THAT(page, HasSubstr("<html lang=\"en\">"));
  EXPECT_LT(page.find("Skip to"), page.find("<nav"));
  EXPECT_LT(page.find("<nav"), page.find("<main"));
}

}  // namespace
}  // namespace foretoken::page
