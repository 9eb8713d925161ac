// The trace against the rules of Chrome's "Trace Event Format": what every phase must and may hold,
// slices of a row one after the other, arrows with two ends that lie in slices.
#include "reports/trace_report.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/sim/serving/fixtures.h"

namespace foretoken::reports {
namespace {

using namespace testing_fixtures;
using Json = nlohmann::json;
using Row = std::pair<int, int>;

struct Rule {
  std::set<std::string> required, optional;
};
const std::map<std::string, Rule> kRules{
    {"X", {{"ph", "pid", "tid", "ts", "dur", "name"}, {"cat", "args"}}},
    {"C", {{"ph", "pid", "ts", "name", "args"}, {"tid", "cat"}}},
    {"s", {{"ph", "pid", "tid", "ts", "id", "name", "cat"}, {"args"}}},
    {"f", {{"ph", "pid", "tid", "ts", "id", "name", "cat"}, {"bp", "args"}}},
    {"M", {{"ph", "pid", "name", "args"}, {"tid", "ts"}}}};

std::string broken_rule(const Json& event) {
  const auto rule = kRules.find(event.value("ph", ""));
  if (rule == kRules.end()) {
    return "unknown phase";
  }
  for (const std::string& key : rule->second.required) {
    if (!event.contains(key)) {
      return "lacks " + key;
    }
  }
  for (const auto& [key, value] : event.items()) {
    if (!rule->second.required.contains(key) && !rule->second.optional.contains(key)) {
      return "has " + key;
    }
    const bool integer = key == "pid" || key == "tid" || key == "id";
    const bool number = key == "ts" || key == "dur";
    const bool right = integer         ? value.is_number_integer()
                       : number        ? value.is_number() && value.get<double>() >= 0
                       : key == "args" ? value.is_object()
                                       : value.is_string();
    if (!right) {
      return key + " is of the wrong type";
    }
  }
  if (rule->first == "C") {
    for (const auto& [key, value] : event["args"].items()) {
      if (!value.is_number() || value.get<double>() < 0) {
        return "counter " + key + " is no number";
      }
    }
  }
  return "";
}

std::int64_t nanos(const Json& microseconds) {
  return std::llround(microseconds.get<double>() * 1000);
}

struct Slice {
  std::int64_t begin, end;
  auto operator<=>(const Slice&) const = default;
};

class Trace : public ::testing::TestWithParam<std::array<int, 3>> {
 protected:
  void SetUp() override {
    ScenarioSpec scenario = small_scenario();
    scenario.model.name = "a \"quoted\" name";
    scenario.file = "a \"quoted\" file.yaml";
    scenario.parallel.tensor = GetParam()[0];
    scenario.parallel.pipeline = GetParam()[1];
    scenario.parallel.data = GetParam()[2];
    scenario.workload.requests = 20;
    simulation_ = std::make_unique<Simulation>(make(scenario));
    record_ = simulation_->run(
        CostDraw(), false,
        {.timeline = true, .trace = TraceWindow{kTimeZero, kTimeNever, 1'000'000}});
    json_ = Json::parse(trace_json(*simulation_, record_));
    for (const Json& event : json_["traceEvents"]) {
      if (event["ph"] == "X") {
        const std::int64_t begin = nanos(event["ts"]);
        rows_[{event["pid"], event["tid"]}].push_back({begin, begin + nanos(event["dur"])});
      }
    }
    for (auto& [row, slices] : rows_) {
      std::sort(slices.begin(), slices.end());
    }
  }

  bool in_a_slice(const Json& event) const {
    const auto& slices = rows_.at({event["pid"], event["tid"]});
    const std::int64_t at = nanos(event["ts"]);
    return std::any_of(slices.begin(), slices.end(),
                       [&](const Slice& s) { return s.begin <= at && at < s.end; });
  }

  std::unique_ptr<Simulation> simulation_;
  RunRecord record_;
  Json json_;
  std::map<Row, std::vector<Slice>> rows_;
};

TEST_P(Trace, Every_event_keeps_the_rules_of_its_phase) {
  EXPECT_EQ(json_["displayTimeUnit"], "ns");
  ASSERT_TRUE(json_["traceEvents"].is_array());
  for (const auto& [key, value] : json_["otherData"].items()) {
    EXPECT_TRUE(value.is_string()) << key;
  }
  for (const Json& event : json_["traceEvents"]) {
    ASSERT_EQ(broken_rule(event), "") << event;
  }
}

TEST_P(Trace, Slices_of_a_row_follow_one_another) {
  for (const auto& [row, slices] : rows_) {
    for (std::size_t i = 1; i < slices.size(); ++i) {
      EXPECT_LE(slices[i - 1].end, slices[i].begin) << row.first << " " << row.second;
    }
  }
}

TEST_P(Trace, Arrows_have_two_ends_in_slices_of_two_gpus) {
  std::map<int, std::vector<Json>> arrows;
  for (const Json& event : json_["traceEvents"]) {
    if (event["ph"] == "s" || event["ph"] == "f") {
      ASSERT_TRUE(in_a_slice(event)) << event;
      arrows[event["id"]].push_back(event);
    }
  }
  EXPECT_EQ(
      arrows.empty(),
      simulation_->scenario().parallel.tensor * simulation_->scenario().parallel.pipeline == 1);
  for (const auto& [id, ends] : arrows) {
    ASSERT_EQ(ends.size(), 2U);
    EXPECT_EQ(ends[0]["ph"], "s");
    EXPECT_EQ(ends[1]["ph"], "f");
    EXPECT_EQ(ends[1]["bp"], "e");
    EXPECT_LE(nanos(ends[0]["ts"]), nanos(ends[1]["ts"]));
    EXPECT_NE(ends[0]["pid"], ends[1]["pid"]);
  }
}

TEST_P(Trace, Every_gpu_in_use_is_a_named_row_with_operators) {
  std::map<int, std::string> names;
  std::set<int> with_operators;
  for (const Json& event : json_["traceEvents"]) {
    if (event["ph"] == "M" && event["name"] == "process_name") {
      EXPECT_TRUE(names.emplace(event["pid"], event["args"]["name"]).second);
    }
    if (event["ph"] == "X" && event.value("cat", "") == "gemm") {
      with_operators.insert(event["pid"].get<int>());
    }
  }
  EXPECT_EQ(static_cast<int>(with_operators.size()), simulation_->scenario().parallel.gpus());
  for (const int process : with_operators) {
    EXPECT_EQ(names[process].rfind("gpu", 0), 0U) << names[process];
  }
}

// The rows' busy time is the run's: what is drawn is what was predicted.
TEST_P(Trace, Counters_and_slices_add_up_to_the_run) {
  std::int64_t busy = 0, batches = 0;
  double sequences = 0;
  std::set<std::string> links;
  for (const Json& event : json_["traceEvents"]) {
    if (event["ph"] == "X" && event["cat"] != "host" && event["name"] != "receive") {
      busy += nanos(event["dur"]);
    }
    if (event["ph"] == "C" && event["name"] == "batch") {
      ++batches;
      sequences += event["args"]["sequences"].get<double>();
    }
    if (event["ph"] == "C" && event["args"].contains("GB/s")) {
      links.insert(event["name"]);
      EXPECT_LE(event["args"]["GB/s"].get<double>(), 100.001);  // the fixture's links
    }
  }
  EXPECT_EQ(batches, record_.steps);
  EXPECT_EQ(sequences, static_cast<double>(record_.decode_tokens));
  const auto& [tensor, pipeline, data] = GetParam();
  EXPECT_EQ(links.empty(), tensor * pipeline == 1);
  TimeShare share = record_.prefill_steps;
  share.add(record_.decode_steps);
  const Time gpus = share.total - share.by_family[static_cast<std::size_t>(OpFamily::host)];
  const double expected = static_cast<double>(gpus.count()) / 1000 * tensor;
  EXPECT_NEAR(static_cast<double>(busy), expected, 1e-3 * expected);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Trace,
                         ::testing::Values(std::array{1, 1, 1}, std::array{2, 1, 1},
                                           std::array{4, 1, 2}, std::array{2, 2, 2}));

TEST(TraceSummary, Names_the_steps_and_the_stretch) {
  RunRecord record;
  record.trace.hosts.push_back({0, 4, Time(1'000'000'000'000), Time(1'100'000'000'000)});
  StageTrace stage;
  stage.step = 4;
  stage.begin = Time(1'100'000'000'000);
  stage.end = Time(1'500'000'000'000);
  record.trace.stages = {stage};
  EXPECT_EQ(trace_summary(record), "1 steps from 1.000000 s to 1.500000 s");
}

}  // namespace
}  // namespace foretoken::reports
