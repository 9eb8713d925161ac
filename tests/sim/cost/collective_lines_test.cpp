#include "sim/cost/collective_lines.h"

#include <gtest/gtest.h>

#include <cmath>

namespace foretoken {
namespace {

const CollectiveLines kLines{{{{5e-6, 1e10}, {1e-5, 1e11}, {2e-5, 4e11}}}};

TEST(CollectiveLines, Take_the_least_of_three) {
  EXPECT_DOUBLE_EQ(kLines.seconds(1e3), 5e-6 + 1e-7);
  EXPECT_DOUBLE_EQ(kLines.seconds(1e6), 1e-5 + 1e-5);
  EXPECT_DOUBLE_EQ(kLines.seconds(1e9), 2e-5 + 2.5e-3);
}

TEST(CollectiveCurve, Passes_through_its_points_and_bends_the_lines_between) {
  const CollectiveCurve curve(kLines,
                              {{1e3, 1.1 * kLines.seconds(1e3)}, {1e9, 1.1 * kLines.seconds(1e9)}});
  EXPECT_NEAR(curve.at(1e3).seconds, 1.1 * kLines.seconds(1e3), 1e-15);
  // Three quarters of the way, as logarithms, to the line through both ends (5.1 us and 2.52 ms,
  // times 1.1).
  const double straight = 1.1 * (5.1e-6 + (1e6 - 1e3) * (2.52e-3 - 5.1e-6) / (1e9 - 1e3));
  EXPECT_NEAR(curve.at(1e6).seconds,
              std::pow(1.1 * kLines.seconds(1e6), 0.25) * std::pow(straight, 0.75), 1e-12);
  EXPECT_EQ(curve.at(1e3).doubt, 0);
  EXPECT_TRUE(curve.at(1e6).inside);
}

TEST(CollectiveCurve, Carries_on_the_line_of_the_largest_messages_and_the_time_of_the_smallest) {
  // 1e-5 s and 1e11 bytes/s through the two, so 1.1e-5 s at 1e5 bytes and 2e-5 s at 1e6.
  const CollectiveCurve curve(kLines, {{1e5, 1.1e-5}, {1e6, 2e-5}});
  const auto large = curve.at(3e6);
  EXPECT_NEAR(large.seconds, 1e-5 + 3e-5, 1e-15);
  EXPECT_NEAR(large.doubt, std::log(6e-5 / 4e-5) / 2, 1e-12);  // at most in proportion: 6e-5
  EXPECT_FALSE(large.inside);
  const auto small = curve.at(5e4);
  EXPECT_NEAR(small.seconds, 1.1e-5, 1e-18);
  EXPECT_NEAR(small.doubt, std::log(1.1e-5 / 1.05e-5) / 2, 1e-12);  // the line says 1.05e-5
  EXPECT_FALSE(small.inside);
}

TEST(CollectiveCurve, Is_the_line_through_both_ends_where_one_protocol_serves_them) {
  // 1e-5 s and 1e11 bytes/s are the middle one of the three lines from 6e4 to 1e6 bytes.
  const auto point = [](double bytes) {
    return CollectiveCurve::Point{bytes, kLines.seconds(bytes)};
  };
  EXPECT_DOUBLE_EQ(CollectiveCurve::on_line(point(1e5), point(1e6), 3e5), 1e-5 + 3e-6);
  const CollectiveCurve curve(kLines, {point(1e5), point(1e6)});
  EXPECT_NEAR(curve.at(3e5).seconds, 1.3e-5, 1e-12);
}

TEST(CollectiveCurve, Stays_within_what_a_larger_message_may_take) {
  // Twice the size and 1.2 times the time: in the middle at least 1.2 / sqrt 2 and 1, at most 1.2.
  const CollectiveLines wild{{{{1, 1}, {1, 1}, {1e-9, 1e30}}}};
  const CollectiveCurve curve(wild, {{1e6, 1e-5}, {2e6, 1.2e-5}});
  const auto middle = curve.at(std::sqrt(2.0) * 1e6);
  EXPECT_GE(middle.seconds, 1e-5 * (1 - 1e-12));
  EXPECT_LE(middle.seconds, 1.2e-5 * (1 + 1e-12));
  EXPECT_NEAR(middle.doubt, std::log(1.2) / 2, 1e-9);
}

}  // namespace
}  // namespace foretoken
