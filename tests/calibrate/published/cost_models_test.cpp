#include "calibrate/published/cost_models.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace foretoken::calibrate {
namespace {

const std::filesystem::path kOps = "../shared/reference/ops";

// Evaluated once: fits over 300,000 rows take seconds.
const std::vector<CostModelRow>& rows() {
  static const std::vector<CostModelRow> all = evaluate_cost_models(kOps);
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
double allowance(const CostModelRow& row) {
  const bool weight_only_h200 = row.file == "gemm/h200_sxm_trtllm_1.2.0rc5_weightonly.csv";
  return weight_only_h200 ? 0.01 : 0;
}

TEST_F(CostModelsTest, Mean_errors_on_unseen_shapes_stay_within_their_targets) {
  int with_target = 0;
  for (const CostModelRow& row : rows()) {
    EXPECT_LE(row.fitted_on, 200);
    EXPECT_GT(row.held_out.samples, 1000);
    if (row.target_mean > 0) {
      ++with_target;
      EXPECT_LE(row.held_out.mean, row.target_mean + allowance(row))
          << row.family << " on " << row.device;
    }
    if (row.target_p90 > 0) {
      EXPECT_LE(row.held_out.p90, row.target_p90) << row.family << " on " << row.device;
    }
  }
  EXPECT_GE(with_target, 11);
}

TEST_F(CostModelsTest, Intervals_cover_about_what_they_promise) {
  // 85 to 95 % is the aim; single tables may leave it by a few points, their mean may not.
  double sum = 0;
  for (const CostModelRow& row : rows()) {
    EXPECT_GE(row.held_out.coverage, 0.75) << row.family << " on " << row.device;
    EXPECT_LE(row.held_out.coverage, 0.97) << row.family << " on " << row.device;
    EXPECT_LE(row.held_out.half_width, 5 * row.held_out.median)
        << row.family << " on " << row.device;
    sum += row.held_out.coverage;
  }
  const double mean = sum / static_cast<double>(rows().size());
  EXPECT_GE(mean, 0.85);
  EXPECT_LE(mean, 0.95);
}

TEST_F(CostModelsTest, The_published_page_is_what_the_command_makes) {
  std::ifstream file("reports/published/cost-models.md");
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(page, cost_model_page(rows()));
}

}  // namespace
}  // namespace foretoken::calibrate
