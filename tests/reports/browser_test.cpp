// The program's pages in a headless browser: nothing fails, nothing is fetched, every chart is
// drawn with the numbers of the result, at the width of a phone and of a desk.
#include "tests/reports/browser.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "reports/page/page.h"

namespace foretoken {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Json = nlohmann::json;

// What is drawn: the numbers that the library holds, pixels painted, widths, and the words that the
// arrow keys read out.
constexpr const char* kProbe = R"js(
  const figures = [...document.querySelectorAll('figure.chart')].map(figure => {
    const canvas = figure.querySelector('canvas');
    const chart = Chart.getChart(canvas);
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let painted = 0;
    for (let i = 3; i < pixels.length; i += 4) painted += pixels[i] > 0;
    canvas.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
    return {
      title: figure.querySelector('h3').textContent,
      label: canvas.getAttribute('aria-label'), focusable: canvas.tabIndex === 0,
      share: painted / (canvas.width * canvas.height), width: canvas.clientWidth,
      categories: chart.data.labels, names: chart.data.datasets.map(d => d.label),
      drawn: chart.data.datasets.map(d => d.data),
      elements: chart.data.datasets.map((d, i) => chart.getDatasetMeta(i).data.filter(
          e => !isNaN(e.x) && !isNaN(e.y)).length),
      rows: [...figure.querySelectorAll('tbody tr')].map(
          row => [...row.children].map(cell => cell.textContent)),
      said: document.getElementById('live').textContent
    };
  });
  const tables = [...document.querySelectorAll('table')].map(table => ({
    caption: table.caption ? table.caption.textContent : '',
    rows: [...table.querySelectorAll('tbody tr')].map(
        row => [...row.children].map(cell => cell.textContent))
  }));
  const style = getComputedStyle(document.body);
  const before = style.backgroundColor;
  dispatchEvent(new Event('beforeprint'));
  const printed = style.backgroundColor;
  dispatchEvent(new Event('afterprint'));
  return {
    figures, tables, before, printed,
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    drawings: [...document.querySelectorAll('figure.drawing svg')].map(
        svg => svg.querySelectorAll('rect').length),
    order: [...document.querySelectorAll('[tabindex]')].filter(e => e.tabIndex > 0).length,
    links: [...document.querySelectorAll('nav a')].filter(
        a => !document.querySelector(a.getAttribute('href'))).length
  };
)js";

class Browser : public ::testing::Test {
 protected:
  void SetUp() override {
    if (find_browser().empty()) {
      GTEST_SKIP() << "no chromium-headless-shell on PATH (Debian package of that name)";
    }
    if (!page::missing_library().empty()) {
      GTEST_SKIP() << page::missing_library();
    }
    std::string pattern = (fs::temp_directory_path() / "foretoken-browser-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    if (!folder_.empty()) {
      fs::remove_all(folder_);
    }
  }

  std::string path(const std::string& name) const { return (fs::path(folder_) / name).string(); }

  void run(const std::string& arguments) const {
    const int status = std::system(
        fmt::format("{} {} >{} 2>&1", FORETOKEN_PROGRAM, arguments, path("out")).c_str());
    ASSERT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0) << arguments;
  }

  Json json(const std::string& name) const {
    std::ifstream stream(path(name));
    return Json::parse(stream, nullptr, false);
  }

  Visit open(const std::string& name, const View& view) const {
    return visit(path(name), view, kProbe, folder_);
  }

  std::string folder_;
};

const Json& figure(const Json& seen, const std::string& title) {
  for (const Json& f : seen["figures"]) {
    if (f["title"] == title) {
      return f;
    }
  }
  throw std::runtime_error("no figure " + title);
}

// What holds for every page at every width.
void expect_sound(const Visit& visit, const View& view) {
  ASSERT_TRUE(visit.opened) << visit.log;
  EXPECT_THAT(visit.console, IsEmpty());
  EXPECT_THAT(visit.requests, IsEmpty());
  EXPECT_EQ(visit.seen["inner"], view.width);
  EXPECT_LE(visit.seen["scroll"].get<int>(), view.width) << "the page scrolls sideways";
  EXPECT_EQ(visit.seen["order"], 0) << "elements that jump the focus order";
  EXPECT_EQ(visit.seen["links"], 0) << "links to nowhere";
  EXPECT_EQ(visit.seen["printed"], "rgb(255, 255, 255)");
  EXPECT_EQ(visit.seen["before"] == visit.seen["printed"], !view.dark);
  for (const Json& f : visit.seen["figures"]) {
    SCOPED_TRACE(f["title"].get<std::string>());
    EXPECT_GT(f["share"].get<double>(), 0.005) << "nothing is drawn";
    EXPECT_GT(f["width"].get<int>(), view.width / 2 - 100);
    EXPECT_TRUE(f["focusable"]);
    EXPECT_FALSE(f["rows"].empty());
    EXPECT_NE(f["said"], "") << "the arrow keys say nothing";
    EXPECT_GT(f["label"].get<std::string>().size(), f["title"].get<std::string>().size());
    for (std::size_t i = 0; i < f["drawn"].size(); ++i) {
      EXPECT_GT(f["elements"][i].get<int>(), 0) << "series " << i;
    }
  }
}

// "12.3" of a table cell, which shows four digits.
void expect_cell(const std::string& cell, const Json& value) {
  const double expected = value.get<double>();
  EXPECT_NEAR(std::stod(cell), expected, 1e-3 * expected + 1e-9);
}

double drawn(const Json& f, std::size_t series, std::size_t point) {
  const Json& at = f["drawn"][series][point];
  return at.is_object() ? at["y"].get<double>() : at.get<double>();
}

void expect_same_numbers(const Json& seen, const Json& result) {
  // Every cell of the table of metrics, with its interval.
  const std::map<std::string, std::string> metrics{
      {"Requests per second", "request_throughput"},
      {"Output tokens per second", "output_throughput"},
      {"All tokens per second", "total_token_throughput"},
      {"TTFT, mean, ms", "mean_ttft_ms"},
      {"TTFT, p99, ms", "p99_ttft_ms"},
      {"TPOT, median, ms", "median_tpot_ms"},
      {"ITL, p99, ms", "p99_itl_ms"},
      {"E2E, mean, ms", "mean_e2el_ms"}};
  std::size_t found = 0;
  for (const Json& table : seen["tables"]) {
    for (const Json& row : table["rows"]) {
      const auto metric = metrics.find(row[0].get<std::string>());
      if (table["caption"] != "Metrics" || metric == metrics.end()) {
        continue;
      }
      ++found;
      expect_cell(row[1], result[metric->second]);
      std::istringstream interval(row[2].get<std::string>());
      std::string low, dots, high;
      interval >> low >> dots >> high;
      expect_cell(low, result["intervals"][metric->second]["low"]);
      expect_cell(high, result["intervals"][metric->second]["high"]);
    }
  }
  EXPECT_EQ(found, metrics.size());
  constexpr double kDigits = 1e-5;  // charts hold six
  for (const auto& [title, name] :
       {std::pair<std::string, std::string>{"Time to first token", "ttft"},
        {"Time per output token", "tpot"},
        {"Latency of the whole request", "e2el"}}) {
    const Json& f = figure(seen, title);
    for (const auto& [statistic, percent] : {std::pair<std::string, std::size_t>{"median", 50},
                                             {"p90", 90},
                                             {"p95", 95},
                                             {"p99", 99}}) {
      const double expected = result[fmt::format("{}_{}_ms", statistic, name)];
      EXPECT_NEAR(drawn(f, 0, percent), expected, kDigits * expected) << title << statistic;
    }
  }
  for (const auto& [title, key] :
       {std::pair<std::string, std::string>{"What the numbers rest on", "provenance"},
        {"Step time by operator", "time_by_family"}}) {
    const Json& f = figure(seen, title);
    for (std::size_t i = 0; i < f["categories"].size(); ++i) {
      const double expected =
          100 * result[key][f["categories"][i].get<std::string>()].get<double>();
      EXPECT_NEAR(drawn(f, 0, i), expected, kDigits * expected) << f["categories"][i];
    }
  }
  // The last bar of a waterfall reaches from 0 to the mean.
  for (const auto& [title, key] :
       {std::pair<std::string, std::string>{"Time to first token, term by term", "mean_ttft_ms"},
        {"Time per output token, term by term", "mean_tpot_ms"}}) {
    const double expected = result[key];
    EXPECT_NEAR(figure(seen, title)["drawn"][0].back()[1].get<double>(), expected, 1e-4 * expected);
  }
}

TEST_F(Browser, The_page_of_ten_thousand_requests_is_sound_and_holds_the_result_s_numbers) {
  run(fmt::format("simulate scenarios/reference-speed.yaml --replications 2 --html {} --json {}",
                  path("page.html"), path("result.json")));
  EXPECT_LT(fs::file_size(path("page.html")), 3'000'000U);
  const Json result = json("result.json");
  for (const View view : {View{1600, 1000, false}, View{400, 800, false}, View{400, 800, true}}) {
    SCOPED_TRACE(fmt::format("{} pixels, dark {}", view.width, view.dark));
    const Visit visit = open("page.html", view);
    expect_sound(visit, view);
    if (visit.opened) {
      EXPECT_EQ(visit.seen["figures"].size(), 13U);
      expect_same_numbers(visit.seen, result);
    }
  }
}

TEST_F(Browser, Eight_gpus_are_drawn_with_their_links_at_both_widths) {
  run(
      fmt::format("simulate scenarios/quickstart.yaml --set model=llama-3.1-8b "
                  "--set cluster=hgx-h100-8 --set profile=h100-sxm --set parallel.tensor=8 "
                  "--replications 0 --html {}",
                  path("page.html")));
  for (const View view : {View{1600, 1000, true}, View{400, 800, false}}) {
    const Visit visit = open("page.html", view);
    expect_sound(visit, view);
    ASSERT_TRUE(visit.opened);
    // 8 GPUs, 8 NICs, 8 PCIe switches, 2 sockets, 1 NVSwitch.
    EXPECT_THAT(visit.seen["drawings"].get<std::vector<int>>(), ElementsAre(27));
    bool links = false;
    for (const Json& table : visit.seen["tables"]) {
      links = links || (!table["rows"].empty() && table["rows"][0].size() == 6 &&
                        (table["rows"][0][0] == "nvswitch" || table["rows"][0][1] == "nvswitch"));
    }
    EXPECT_TRUE(links);
  }
}

TEST_F(Browser, The_page_of_explain_is_sound) {
  run("explain scenarios/quickstart.yaml --html " + path("page.html"));
  for (const View view : {View{1600, 1000, false}, View{400, 800, true}}) {
    const Visit visit = open("page.html", view);
    expect_sound(visit, view);
    ASSERT_TRUE(visit.opened);
    EXPECT_EQ(visit.seen["figures"].size(), 2U);
  }
}

TEST_F(Browser, The_page_of_a_plan_draws_its_front) {
  run(
      fmt::format("plan scenarios/plan-70b.yaml --replications 2 --set workload.requests=200 "
                  "--set 'plan.tensor=[4,8]' --set 'plan.max_num_seqs=[128]' "
                  "--set 'plan.kv_cache=[fp8]' --html {} --json {}",
                  path("page.html"), path("plan.json")));
  const Json front = json("plan.json")["front"];
  ASSERT_FALSE(front.empty());
  for (const View view : {View{1600, 1000, false}, View{400, 800, true}}) {
    const Visit visit = open("page.html", view);
    expect_sound(visit, view);
    ASSERT_TRUE(visit.opened);
    std::multiset<double> expected, seen;
    for (const Json& row : front) {
      expected.insert(row["max_rate"].get<double>());
    }
    const Json& rate = figure(visit.seen, "Rate against cost");
    for (std::size_t series = 0; series < rate["drawn"].size(); ++series) {
      for (std::size_t i = 0; i < rate["drawn"][series].size(); ++i) {
        seen.insert(drawn(rate, series, i));
      }
    }
    ASSERT_EQ(seen.size(), expected.size());
    for (auto a = seen.begin(), b = expected.begin(); a != seen.end(); ++a, ++b) {
      EXPECT_NEAR(*a, *b, 1e-5 * *b);
    }
  }
}

TEST_F(Browser, The_page_of_a_comparison_draws_speed_against_error) {
  run(
      fmt::format("compare scenarios/8xl40s-llama-70b.yaml --replications 2 "
                  "--set workload.requests=40 --vary precision.all_reduce=int8,int4,int2/spike "
                  "--html {} --json {}",
                  path("page.html"), path("compare.json")));
  const Json rows = json("compare.json")["rows"];
  ASSERT_EQ(rows.size(), 3U);
  for (const View view : {View{1600, 1000, true}, View{400, 800, false}}) {
    const Visit visit = open("page.html", view);
    expect_sound(visit, view);
    ASSERT_TRUE(visit.opened);
    const Json& f = visit.seen["figures"][0];
    ASSERT_EQ(f["drawn"][0].size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      const double expected = rows[i]["measures"]["mean_ttft_ms"]["value"].get<double>();
      EXPECT_NEAR(drawn(f, 0, i), expected, 1e-5 * expected);
    }
  }
}

// All kinds of charts, which the program's own pages need not have.
TEST_F(Browser, Every_kind_of_chart_is_drawn) {
  page::Document document;
  document.title = "Kinds";
  page::Section section{"Charts", {}};
  for (const auto kind : {page::Chart::Kind::line, page::Chart::Kind::scatter,
                          page::Chart::Kind::bar, page::Chart::Kind::stacked}) {
    page::Chart chart;
    chart.kind = kind;
    chart.title = fmt::format("Kind {}", static_cast<int>(kind));
    chart.description = "A chart.";
    chart.x = {"Error", kind == page::Chart::Kind::scatter};
    chart.y = {"Speed", kind == page::Chart::Kind::line};
    chart.categories = {"a", "b", "c"};
    chart.series = {{"first", {{1, 2, 1, 3, "int8"}, {10, 5, 4, 6, "</script>"}, {100, 9, 8, 11}}},
                    {"second", {{1, 4}, {20, page::kNone}, {100, 3}}, true}};
    section.items.emplace_back(chart);
  }
  document.sections.push_back(section);
  std::ofstream(path("page.html")) << page::html(document);
  for (const View view : {View{1600, 1000, false}, View{400, 800, true}}) {
    const Visit visit = open("page.html", view);
    expect_sound(visit, view);
    ASSERT_TRUE(visit.opened);
    EXPECT_EQ(visit.seen["figures"].size(), 4U);
    EXPECT_EQ(figure(visit.seen, "Kind 0")["drawn"][1][1]["y"], nullptr);
  }
}

// The test of the test: errors, refused requests and requests that go out are all seen.
TEST_F(Browser, A_broken_page_is_noticed) {
  page::Document document;
  document.title = "Broken";
  document.sections.push_back(
      {"Drawing",
       {page::Drawing{"Fetches",
                      "An image from elsewhere.",
                      "<img src=\"http://127.0.0.1:9/a.png\" width=\"2000\">"
                      "<script>noSuchFunction();</script>",
                      {}}}});
  std::string html = page::html(document);
  std::ofstream(path("page.html")) << html;
  const char* probe = "return document.documentElement.scrollWidth;";
  Visit seen = visit(path("page.html"), {400, 800, false}, probe, folder_);
  ASSERT_TRUE(seen.opened) << seen.log;
  EXPECT_THAT(seen.requests, IsEmpty()) << "the policy holds it back";
  const std::string all = fmt::format("{}", fmt::join(seen.console, "\n"));
  EXPECT_THAT(all, ::testing::HasSubstr("noSuchFunction"));
  EXPECT_THAT(all, ::testing::HasSubstr("refused http://127.0.0.1:9/a.png"));
  const std::size_t policy = html.find("<meta http-equiv");
  html.erase(policy, html.find('>', policy) + 1 - policy);
  std::ofstream(path("page.html")) << html;
  seen = visit(path("page.html"), {400, 800, false}, probe, folder_);
  EXPECT_THAT(seen.requests, ::testing::Contains("http://127.0.0.1:9/a.png"));
}

}  // namespace
}  // namespace foretoken
