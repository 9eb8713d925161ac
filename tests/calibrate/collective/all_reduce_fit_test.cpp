#include "calibrate/collective/all_reduce_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "calibrate/collective/prediction_table.h"

namespace foretoken::calibrate {
namespace {

constexpr AllReduceBox kBox{450e9, true, true};

TEST(AllReduceFit, A_kernel_is_predicted_by_its_closed_form) {
  AllReduceModel model;
  model.box = kBox;
  model.kernels = {{"ring", Algorithm::ring, 5e-6, 1e-6, 0.5}};
  // 2 (N - 1) steps and 2 M (N - 1) / N bytes at 225 GB/s.
  for (const int n : {2, 4, 8}) {
    const double m = 64 << 20;
    const double expected = 5e-6 + 2 * (n - 1) * (1e-6 + m / n / 225e9);
    EXPECT_NEAR(predict(model, n, 64 << 20), expected, 1e-9);
  }
}

// Times made by a model of two kernels are fitted on two and eight ranks, from other constants, and
// four ranks come out.
TEST(AllReduceFit, Times_made_by_the_model_are_found_again) {
  AllReduceModel truth;
  truth.box = kBox;
  truth.kernels = {{"ring/ll", Algorithm::ring, 4e-6, 0.7e-6, 0.08},
                   {"ring/simple", Algorithm::ring, 20e-6, 1.2e-6, 0.65}};
  std::vector<AllReducePoint> fitted, held_out;
  for (const int n : {2, 4, 8}) {
    for (std::int64_t bytes = 1024; bytes <= (1 << 29); bytes *= 4) {
      (n == 4 ? held_out : fitted).push_back({n, bytes, predict(truth, n, bytes)});
    }
  }
  AllReduceModel start = truth;
  start.kernels[0] = {"ring/ll", Algorithm::ring, 6e-6, 0.9e-6, 0.06};
  start.kernels[1] = {"ring/simple", Algorithm::ring, 15e-6, 1.5e-6, 0.72};
  const double before = mean_error(start, held_out);
  const double after = mean_error(fit(start, fitted), held_out);
  EXPECT_LT(after, 0.03);
  EXPECT_LT(after, before / 3);
}

TEST(AllReduceFit, Four_gpus_are_predicted_better_than_by_interpolation) {
  const std::string folder = "../shared/reference/ops/comm";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not here";
  }
  const std::vector<AllReducePrediction> rows = predict_all_reduce(folder);
  for (const bool custom : {false, true}) {
    double error = 0;
    double interpolation = 0;
    int count = 0;
    for (const AllReducePrediction& row : rows) {
      if (row.custom == custom) {
        EXPECT_LE(row.error, 0.13) << row.library << " on " << row.system;
        error += row.error;
        interpolation += row.interpolation;
        ++count;
      }
    }
    ASSERT_GE(count, 5);
    EXPECT_LE(error / count, custom ? 0.10 : 0.07);
    EXPECT_LT(error, interpolation);
  }
}

}  // namespace
}  // namespace foretoken::calibrate
