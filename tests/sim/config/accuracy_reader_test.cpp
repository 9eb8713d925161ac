#include "sim/config/accuracy_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sim/core/error.h"

namespace foretoken::config {
namespace {

const std::string kRow =
    "schema: 1\nrows:\n  - {model: m, family: f, method: x, benchmark: b, source: s, ";

class AccuracyFile : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::vector<PublishedAccuracy> parse(const std::string& text) const {
    std::ofstream(path_) << text;
    return read_accuracy(path_);
  }
  std::string path_ = testing::TempDir() + "/accuracy-" + std::to_string(getpid()) + ".yaml";
};

TEST(Accuracy, The_shipped_table_loads_and_every_row_has_its_source) {
  const auto rows = read_accuracy("calibrate/quality/published-accuracy.yaml");
  EXPECT_GE(rows.size(), 10u);
  for (const PublishedAccuracy& row : rows) {
    EXPECT_GT(row.source.size(), 20u) << row.model;
    EXPECT_GT(row.recovery, 0.9) << row.model;
    EXPECT_LT(row.recovery, 1.1) << row.model;
  }
}

TEST_F(AccuracyFile, Recovery_follows_from_score_and_baseline) {
  const auto rows = parse(kRow + "weights: int8, baseline: 80, score: 60}\n");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_DOUBLE_EQ(rows[0].recovery, 0.75);
  EXPECT_EQ(to_string(*rows[0].weights), "int8");
  EXPECT_FALSE(rows[0].all_reduce);
}

TEST_F(AccuracyFile, Rows_that_say_too_little_or_too_much_are_refused) {
  for (const auto& [rest, message] : std::initializer_list<std::pair<std::string, std::string>>{
           {"recovery: 99%}\n", "narrows nothing"},
           {"weights: int8}\n", "state either"},
           {"weights: int8, recovery: 99%, baseline: 1, score: 1}\n", "state either"},
           {"weights: int99, recovery: 99%}\n", "unknown format"},
           {"weight: int8, recovery: 99%}\n", "did you mean \"weights\"?"}}) {
    try {
      parse(kRow + rest);
      ADD_FAILURE() << rest;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(".yaml:3"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace foretoken::config
