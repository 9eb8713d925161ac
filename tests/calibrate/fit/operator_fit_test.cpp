#include "calibrate/fit/operator_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "calibrate/fit/collective_fit.h"
#include "calibrate/fit/search.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

constexpr double kT0 = 1e-5, kRate = 1e12;

// Calls of 2^x bytes in 16 groups y. Times follow t0 + bytes / rate, times a smooth wave over (x,
// y) and a factor per call, whose spread is `noise` below 2^20 bytes and `noise_above` from there.
OperatorTable table_of(double wave, double noise, double noise_above) {
  OperatorTable table;
  RandomStream random(3, "operator_fit_test");
  table.axes = 2;
  for (int y = 0; y < 16; ++y) {
    for (int x = 10; x < 30; ++x) {
      table.at.insert(table.at.end(), {static_cast<double>(x), static_cast<double>(y)});
      table.group.push_back(y);
      table.seconds.push_back((kT0 + std::exp2(x) / kRate) *
                              std::exp(wave * std::sin(0.4 * x + 0.2 * y) +
                                       (x < 20 ? noise : noise_above) * random.normal()));
    }
  }
  table.start = {1e-6, 1e11};
  table.formula = [at = table.at](std::size_t row, const std::vector<double>& p) {
    return p[0] + std::exp2(at[2 * row]) / p[1];
  };
  return table;
}

OperatorTable table_of(double wave, double noise) { return table_of(wave, noise, noise); }

std::vector<std::size_t> rows_of(const OperatorTable& table, bool even) {
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if ((table.group[row] % 2 == 0) == even) {
      rows.push_back(row);
    }
  }
  return rows;
}

TEST(OperatorFit, Recovers_the_formula_of_exact_data) {
  const OperatorTable table = table_of(0, 0.001);
  const OperatorFit fit = fit_operator(table, rows_of(table, true));
  EXPECT_NEAR(fit.parameters[0] / kT0, 1, 0.01);
  EXPECT_NEAR(fit.parameters[1] / kRate, 1, 0.01);
}

TEST(OperatorFit, Residuals_of_neighbours_lower_the_error_on_groups_not_seen) {
  const OperatorTable table = table_of(0.3, 0.01);
  const OperatorFit fit = fit_operator(table, rows_of(table, true));
  EXPECT_GT(fit.field.settings().sd, 0);
  const auto errors = test_operator_fit(table, fit, fit.parameters, rows_of(table, false));
  const HeldOut held_out = summarise_errors(errors.log_error, errors.sd);
  EXPECT_LT(held_out.mean, 0.05);  // the wave alone makes 0.3 x 2 / pi = 19 %
  EXPECT_GE(held_out.coverage, 0.75);
}

TEST(OperatorFit, Intervals_are_wide_where_calls_err_and_narrow_elsewhere) {
  const OperatorTable table = table_of(0, 0.01, 0.1);
  const OperatorFit fit = fit_operator(table, rows_of(table, true));
  const auto rows = rows_of(table, false);
  const auto errors = test_operator_fit(table, fit, fit.parameters, rows);
  double below = 0, above = 0;
  OperatorErrors calm;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (table.where(rows[i])[0] < 20) {
      below += errors.sd[i];
      calm.log_error.push_back(errors.log_error[i]);
      calm.sd.push_back(errors.sd[i]);
    } else {
      above += errors.sd[i];
    }
  }
  EXPECT_GT(above, 3 * below);  // ten calls of each group are below, ten above
  EXPECT_NEAR(summarise_errors(errors.log_error, errors.sd).coverage, 0.9, 0.07);
  EXPECT_NEAR(summarise_errors(calm.log_error, calm.sd).coverage, 0.9, 0.1);
}

TEST(OperatorFit, Is_deterministic) {
  const OperatorTable table = table_of(0.2, 0.02);
  const auto rows = choose_spread(table, rows_of(table, true), 60);
  EXPECT_EQ(fit_operator(table, rows).left_out.mean, fit_operator(table, rows).left_out.mean);
}

TEST(ChooseSpread, Takes_distinct_rows_of_the_candidates_only) {
  const OperatorTable table = table_of(0, 0);
  const auto candidates = rows_of(table, true);
  auto chosen = choose_spread(table, candidates, 50);
  EXPECT_EQ(chosen.size(), 50U);
  std::sort(chosen.begin(), chosen.end());
  EXPECT_EQ(std::unique(chosen.begin(), chosen.end()), chosen.end());
  for (const std::size_t row : chosen) {
    EXPECT_EQ(table.group[row] % 2, 0);
  }
  EXPECT_EQ(choose_spread(table, candidates, 1000).size(), candidates.size());
}

CollectivePoints points_of(int count) {
  CollectivePoints points;
  for (int i = 0; i < count; ++i) {
    const double bytes = std::exp2(10 + i);
    points.push_back(
        {bytes, std::min({5e-6 + bytes / 1e10, 1e-5 + bytes / 1e11, 3e-5 + bytes / 4e11})});
  }
  return points;
}

TEST(CollectiveFit, Finds_three_lines) {
  const CollectivePoints points = points_of(21);
  const CollectiveLines lines = fit_lines(points);
  for (const auto& point : points) {
    EXPECT_NEAR(lines.seconds(point.bytes) / point.seconds, 1, 0.06);
  }
}

TEST(CollectiveFit, Chooses_sizes_one_after_the_other_without_looking_at_the_rest) {
  CollectivePoints points = points_of(21);
  const auto chosen = choose_sizes(points, 7);
  EXPECT_EQ(chosen.size(), 7U);
  EXPECT_EQ(chosen.front(), 2U);
  EXPECT_EQ(chosen.back(), 18U);
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!std::binary_search(chosen.begin(), chosen.end(), i)) {
      points[i].seconds *= 7;
    }
  }
  EXPECT_EQ(choose_sizes(points, 7), chosen);
}

TEST(CollectiveFit, Refines_where_a_protocol_changes) {
  // One line up to 1 MiB (point 11), from there another library's that is six times slower.
  CollectivePoints points;
  for (int i = 0; i < 21; ++i) {
    const double bytes = 512 * std::ldexp(1.0, i);
    points.push_back({bytes, (i < 12 ? 1.0 : 6.0) * (5e-6 + bytes / 2e11)});
  }
  const auto chosen = choose_sizes(points, 7);
  // Of six evenly spaced from 2 to 18, 8 and 12 enclose the change: the seventh goes there.
  EXPECT_EQ(chosen, (std::vector<std::size_t>{2, 5, 8, 10, 12, 15, 18}));
}

TEST(CollectiveFit, Stragglers_are_cut_to_the_next_larger_size) {
  const CollectivePoints cut =
      without_stragglers({{1e3, 9e-6}, {2e3, 5e-6}, {4e3, 8e-6}, {8e3, 7e-6}, {16e3, 9e-6}});
  std::vector<double> seconds;
  for (const auto& point : cut) {
    seconds.push_back(point.seconds);
  }
  EXPECT_EQ(seconds, (std::vector<double>{5e-6, 5e-6, 7e-6, 7e-6, 9e-6}));
}

TEST(CollectiveFit, Predicts_the_sizes_between) {
  const CollectivePoints points = points_of(21);
  CollectivePoints known, unseen;
  const auto chosen = choose_sizes(points, 7);
  for (std::size_t i = 0; i < points.size(); ++i) {
    (std::binary_search(chosen.begin(), chosen.end(), i) ? known : unseen).push_back(points[i]);
  }
  const auto errors = test_curve(known, unseen);
  ASSERT_EQ(errors.size(), 14U);
  double sum = 0;
  for (const CollectiveError& error : errors) {
    sum += std::abs(error.log_error);
    EXPECT_LE(std::abs(error.log_error),
              2 * error.doubt + 1e-9);  // within what the neighbours allow
  }
  EXPECT_LT(sum / 14, 0.08);
}

TEST(CollectiveFit, Spread_covers_nine_tenths_of_the_errors_it_was_made_of) {
  RandomStream random(1, "collective_fit_test");
  std::vector<CollectiveError> errors;
  for (int i = 0; i < 400; ++i) {
    const double doubt = random.uniform();
    errors.push_back({(0.02 + 0.1 * doubt) * random.normal(), doubt});
  }
  const CollectiveSpread spread = fit_spread(errors);
  int inside = 0;
  for (const CollectiveError& error : errors) {
    inside += std::abs(error.log_error) <= 1.6449 * sd_of(spread, error.doubt) ? 1 : 0;
  }
  EXPECT_NEAR(inside / 400.0, 0.9, 0.01);
  EXPECT_GT(sd_of(spread, 1), 2 * sd_of(spread, 0));
}

}  // namespace
}  // namespace foretoken::calibrate
