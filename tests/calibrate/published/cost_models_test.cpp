#include "calibrate/published/cost_models.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace foretoken::calibrate {
namespace {

const std::filesystem::path kOps = "../shared/reference/ops";

// Evaluated once: some 100 fits take a minute of one core.
const std::vector<CostModelRow>& rows() {
  static const std::vector<CostModelRow> all = evaluate_cost_models(kOps);
  return all;
}

const std::vector<LayoutRow>& layouts() {
  static const std::vector<LayoutRow> all = evaluate_other_layouts(kOps);
  return all;
}

class CostModelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kOps)) {
      GTEST_SKIP() << kOps << " is absent";
    }
  }
};

// Targets that are missed today, and by how much they may be missed: these must not grow.
double allowance(const CostModelRow& row) { return row.sizes > 0 ? 0.019 : 0; }

TEST_F(CostModelsTest, Mean_errors_on_unseen_calls_stay_within_their_targets) {
  int with_target = 0;
  int met = 0;
  for (const CostModelRow& row : rows()) {
    EXPECT_FALSE(row.source.empty()) << row.file;
    if (row.sizes > 0) {
      EXPECT_LE(row.sizes, 7);
    } else {
      EXPECT_LE(row.fitted_on, 200);
      EXPECT_GT(row.held_out.samples, 800);
    }
    if (row.target_mean > 0) {
      ++with_target;
      met += row.held_out.mean <= row.target_mean ? 1 : 0;
      EXPECT_LE(row.held_out.mean, row.target_mean + allowance(row))
          << row.family << " on " << row.device;
    }
    if (row.target_p90 > 0) {
      EXPECT_LE(row.held_out.p90, row.target_p90) << row.family << " on " << row.device;
    }
  }
  EXPECT_GE(with_target, 55);
  EXPECT_GE(met, with_target - 3);  // three collective tables miss 6 %
}

TEST_F(CostModelsTest, Intervals_cover_about_what_they_promise) {
  // 85 to 95 % and a ratio of 2.5 are the aim. Single tables leave the first by some points, their
  // mean does not. The ratio is missed: these numbers were seen, and must not grow.
  double sum = 0;
  double log_ratios = 0;
  int inside = 0;
  int count = 0;
  for (const CostModelRow& row : rows()) {
    const std::string name = row.family + " on " + row.device + ", " + row.file;
    EXPECT_GE(row.held_out.coverage, 0.75) << name;
    EXPECT_LE(row.held_out.coverage, 0.98) << name;
    if (row.sizes == 0) {
      EXPECT_LE(sharpness(row.held_out), 5.5) << name;
      log_ratios += std::log(sharpness(row.held_out));
      inside += row.held_out.coverage >= 0.85 && row.held_out.coverage <= 0.95 ? 1 : 0;
      sum += row.held_out.coverage;
      ++count;
    }
  }
  EXPECT_GE(sum / count, 0.86);
  EXPECT_LE(sum / count, 0.93);
  EXPECT_LE(std::exp(log_ratios / count), 3.15);  // 3.08; of Laplace errors 3.32
  EXPECT_GE(inside, count - 11);
}

TEST_F(CostModelsTest, The_published_page_is_what_the_command_makes) {
  std::ifstream file("reports/published/cost-models.md");
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(page, cost_model_page(rows(), layouts(), evaluate_sisters(kOps)));
}

TEST_F(CostModelsTest, A_sister_device_is_predicted_from_a_measured_one) {
  const auto sisters = evaluate_sisters(kOps);
  ASSERT_GE(sisters.size(), 7U);
  for (const SisterRow& row : sisters) {
    EXPECT_GT(row.transferred.samples, 4000) << row.table;
    EXPECT_LE(row.transferred.mean, 0.09) << row.table;
    if (row.table.starts_with("gemm.")) {
      EXPECT_LT(row.transferred.mean, 0.7 * row.as_it_measured.mean) << row.table;
    }
  }
}

TEST_F(CostModelsTest, Attention_that_was_not_measured_is_priced_from_what_was) {
  ASSERT_GE(layouts().size(), 16U);
  for (const LayoutRow& row : layouts()) {
    const std::string name = row.family + " on " + row.device + ", " + row.file;
    EXPECT_GT(row.layouts.samples, 2800) << name;
    EXPECT_LE(row.layouts.mean, 0.10) << name;
    EXPECT_LE(row.layouts.median, 0.05) << name;
    EXPECT_GT(row.large.samples, 250) << name;
    EXPECT_LE(row.large.mean, 0.08) << name;
    EXPECT_LE(row.large.median, 0.05) << name;
    if (row.head_sizes.samples > 0) {
      EXPECT_LE(row.head_sizes.mean, 0.30) << name;
    }
  }
}

}  // namespace
}  // namespace foretoken::calibrate
