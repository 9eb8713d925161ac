// Pareto fronts of plans: cost against latency against throughput. Pure arithmetic.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/plan/task.h"

namespace foretoken::plan {

struct Point {
  double cost = 0;        // less is better
  int level = 0;          // of latency, less is better
  int rung = 0;           // of the rate, more is better
  std::size_t index = 0;  // of the configuration; among equals the earlier one counts
};

// `a` is at least as good in everything, and better in something or earlier.
bool dominates(const Point& a, const Point& b);

// The points that no other dominates, by cost, then level, then falling rung.
std::vector<Point> front_of(std::vector<Point> points);

// What a configuration of this cost and index must reach, so that no point dominates it: levels and
// rungs rise.
std::vector<RungFloor> floors_for(const std::vector<Point>& points, double cost, std::size_t index);

}  // namespace foretoken::plan
