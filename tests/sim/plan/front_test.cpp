#include "sim/plan/front.h"

#include <gtest/gtest.h>

#include "sim/core/random.h"

namespace foretoken::plan {
namespace {

std::vector<std::size_t> indices(const std::vector<Point>& points) {
  std::vector<std::size_t> found;
  for (const Point& point : points) {
    found.push_back(point.index);
  }
  return found;
}

TEST(Front, Keeps_what_nothing_beats_and_the_first_of_equals) {
  const std::vector<Point> points{{2, 5, 10, 0}, {1, 5, 10, 1}, {1, 5, 10, 2},
                                  {3, 4, 10, 3}, {3, 5, 11, 4}, {3, 5, 10, 5}};
  EXPECT_EQ(indices(front_of(points)), (std::vector<std::size_t>{1, 3, 4}));
}

// The floors say exactly when a point is dominated.
TEST(Front, Floors_agree_with_domination) {
  RandomStream random(7, "front");
  for (int round = 0; round < 2000; ++round) {
    std::vector<Point> points;
    for (std::size_t i = 0; i < 6; ++i) {
      points.push_back({static_cast<double>(random.uniform_int(1, 3)),
                        static_cast<int>(random.uniform_int(1, 4)),
                        static_cast<int>(random.uniform_int(0, 4)), i});
    }
    const Point probe = points.back();
    points.pop_back();
    bool dominated = false;
    for (const Point& point : points) {
      dominated = dominated || dominates(point, probe);
    }
    int least = -1;
    for (const RungFloor& floor : floors_for(points, probe.cost, probe.index)) {
      least = floor.level <= probe.level ? std::max(least, floor.rung) : least;
    }
    EXPECT_EQ(probe.rung < least, dominated) << "round " << round;
  }
}

}  // namespace
}  // namespace foretoken::plan
