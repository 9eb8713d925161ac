// Measured times on a grid of one to four axes, interpolated in the logarithms of time and axis.
// Nested: the samples that share the first coordinate form a grid of the others, so that the grids
// inside need not be alike. Between samples a power law; above the last sample its slope goes on,
// kept within 0..2, or the last sample holds; below the first the first holds. Immutable.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace foretoken {

class SampleGrid {
 public:
  static constexpr int kMaxAxes = 4;
  struct Point {
    std::array<double, kMaxAxes> at{};
    double seconds = 0;
  };

  enum class Beyond { slope, hold };  // above the last sample

  // `offsets`: added to each coordinate before its logarithm, so that 0 is a coordinate too.
  // REQUIRES: points not empty, seconds > 0, coordinate + offset > 0, 1..4 axes.
  SampleGrid(std::vector<Point> points, int axes, std::array<double, kMaxAxes> offsets,
             Beyond beyond = Beyond::slope);

  struct Prediction {
    double seconds = 0;
    bool inside = true;  // within the sampled range of every axis
  };
  Prediction at(const std::array<double, kMaxAxes>& where) const;

 private:
  struct Node {
    std::vector<double> log_x;  // ascending
    std::vector<double> value;  // log seconds, on the last axis
    std::vector<Node> inner;    // on the others
  };
  static Node build(std::span<const Point> points, int axis, int axes,
                    const std::array<double, kMaxAxes>& offsets);
  double evaluate(const Node& node, int axis, const std::array<double, kMaxAxes>& log_where,
                  bool& inside) const;

  int axes_;
  std::array<double, kMaxAxes> offsets_;
  Beyond beyond_;
  Node root_;
};

}  // namespace foretoken
