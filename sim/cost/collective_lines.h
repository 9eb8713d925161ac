// Time of one collective on one group of ranks over the size of its message, from a handful of
// measured sizes.
#pragma once

#include <array>
#include <span>
#include <vector>

namespace foretoken {

// Libraries change protocol with the size (NCCL: LL, LL128, Simple): the least of three lines
// alpha + bytes / rate, one bounded by latency, one in between, one by bandwidth.
struct CollectiveLines {
  struct Line {
    double alpha = 0;  // s
    double rate = 0;   // bytes/s
  };
  std::array<Line, 3> lines;
  double seconds(double bytes) const;
};

// Between two measured sizes a weighted geometric mean of two answers: the line alpha + bytes /
// rate through both, right where one protocol serves them, and the three lines bent through them,
// the residuals log(measured / lines) interpolated in the logarithm of the size, within what both
// allow. A smaller message than all of them takes as long as the smallest, which is latency alone;
// a larger one follows the line through the two largest. Immutable.
class CollectiveCurve {
 public:
  struct Point {
    double bytes = 0;
    double seconds = 0;
  };
  // The line through two points, at a size; may be negative outside them.
  // REQUIRES: low.bytes != high.bytes.
  static double on_line(const Point& low, const Point& high, double bytes);

  // REQUIRES: points not empty, all positive.
  CollectiveCurve(const CollectiveLines& lines, std::vector<Point> points);

  struct Prediction {
    double seconds = 0;
    // Half the range, in logarithms, that the neighbours leave open: a larger message takes no less
    // time, and no more than in proportion to its size. 0 at a measured size. Beyond the points
    // half the range from a constant time (below) or one in proportion (above) to the line through
    // the nearest two.
    double doubt = 0;
    bool inside = true;
  };
  Prediction at(double bytes) const;

 private:
  struct Node {
    double log_bytes, log_seconds, log_residual;
    Point point() const;
  };
  // REQUIRES: bytes outside the points.
  Prediction beyond(double bytes) const;

  CollectiveLines lines_;
  std::vector<Node> nodes_;  // by size
};

}  // namespace foretoken
