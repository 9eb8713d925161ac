#include "sim/plan/front.h"

#include <algorithm>
#include <tuple>

namespace foretoken::plan {

bool dominates(const Point& a, const Point& b) {
  if (a.cost > b.cost || a.level > b.level || a.rung < b.rung) {
    return false;
  }
  return a.cost < b.cost || a.level < b.level || a.rung > b.rung || a.index < b.index;
}

std::vector<Point> front_of(std::vector<Point> points) {
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
    return std::tuple(a.cost, a.level, -a.rung, a.index) <
           std::tuple(b.cost, b.level, -b.rung, b.index);
  });
  std::vector<Point> front;
  for (const Point& point : points) {  // whatever dominates a point stands before it
    if (std::none_of(front.begin(), front.end(),
                     [&](const Point& other) { return dominates(other, point); })) {
      front.push_back(point);
    }
  }
  return front;
}

std::vector<RungFloor> floors_for(const std::vector<Point>& points, double cost,
                                  std::size_t index) {
  std::vector<RungFloor> all;
  for (const Point& point : points) {
    if (point.cost > cost) {
      continue;
    }
    const bool wins_ties = point.cost < cost || point.index < index;
    all.push_back({point.level, point.rung + (wins_ties ? 1 : 0)});
    all.push_back({point.level + 1, point.rung + 1});
  }
  std::sort(all.begin(), all.end(), [](const RungFloor& a, const RungFloor& b) {
    return std::tuple(a.level, -a.rung) < std::tuple(b.level, -b.rung);
  });
  std::vector<RungFloor> floors;
  for (const RungFloor& floor : all) {
    if (floors.empty() || floor.rung > floors.back().rung) {
      floors.push_back(floor);
    }
  }
  return floors;
}

}  // namespace foretoken::plan
