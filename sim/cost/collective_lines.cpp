#include "sim/cost/collective_lines.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken {
namespace {

// Weight of the straight line in the mean with the bent lines: seven points fix lines between
// neighbours better than the six numbers of the three lines. Public tables err least near here.
constexpr double kStraight = 0.75;

}  // namespace

double CollectiveLines::seconds(double bytes) const {
  double least = lines[0].alpha + bytes / lines[0].rate;
  for (const Line& line : lines) {
    least = std::min(least, line.alpha + bytes / line.rate);
  }
  return least;
}

double CollectiveCurve::on_line(const Point& low, const Point& high, double bytes) {
  return low.seconds +
         (high.seconds - low.seconds) * (bytes - low.bytes) / (high.bytes - low.bytes);
}

CollectiveCurve::CollectiveCurve(const CollectiveLines& lines, std::vector<Point> points)
    : lines_(lines) {
  FT_CHECK(!points.empty());
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.bytes < b.bytes; });
  for (const Point& point : points) {
    nodes_.push_back({std::log(point.bytes), std::log(point.seconds),
                      std::log(point.seconds / lines.seconds(point.bytes))});
  }
}

CollectiveCurve::Point CollectiveCurve::Node::point() const {
  return {std::exp(log_bytes), std::exp(log_seconds)};
}

CollectiveCurve::Prediction CollectiveCurve::beyond(double bytes) const {
  const bool above = std::log(bytes) > nodes_.back().log_bytes;
  const Point end = (above ? nodes_.back() : nodes_.front()).point();
  const double proportional = end.seconds * bytes / end.bytes;
  double other = lines_.seconds(bytes) / lines_.seconds(end.bytes) * end.seconds;
  if (nodes_.size() > 1) {
    other = on_line(end, (above ? nodes_[nodes_.size() - 2] : nodes_[1]).point(), bytes);
  }
  other =
      std::clamp(other, std::min(end.seconds, proportional), std::max(end.seconds, proportional));
  const double doubt = std::abs(std::log((above ? proportional : end.seconds) / other)) / 2;
  return {above ? other : end.seconds, doubt};
}

CollectiveCurve::Prediction CollectiveCurve::at(double bytes) const {
  const double x = std::log(bytes);
  const auto above =
      std::lower_bound(nodes_.begin(), nodes_.end(), x,
                       [](const Node& node, double at) { return node.log_bytes < at; });
  Prediction prediction;
  if (above == nodes_.end() || (above == nodes_.begin() && above->log_bytes > x)) {
    prediction = beyond(bytes);
    prediction.inside = false;
    return prediction;
  }
  if (above->log_bytes == x) {
    prediction.seconds = std::exp(above->log_seconds);
    return prediction;
  }
  const Node& low = *(above - 1);
  const Node& high = *above;
  const double share = (x - low.log_bytes) / (high.log_bytes - low.log_bytes);
  const double bent = std::log(lines_.seconds(bytes)) + low.log_residual +
                      share * (high.log_residual - low.log_residual);
  const double most = std::min(high.log_seconds, low.log_seconds + x - low.log_bytes);
  const double least = std::max(low.log_seconds, high.log_seconds - (high.log_bytes - x));
  // The two swap where the protocol changed in between.
  const double within = std::clamp(bent, std::min(least, most), std::max(least, most));
  const double straight = on_line(low.point(), high.point(), bytes);
  prediction.seconds = std::exp((1 - kStraight) * within + kStraight * std::log(straight));
  prediction.doubt = std::abs(most - least) / 2;
  return prediction;
}

}  // namespace foretoken
