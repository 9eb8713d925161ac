#include "sim/cost/collective_lines.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken {

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

CollectiveCurve::Prediction CollectiveCurve::at(double bytes) const {
  const double x = std::log(bytes);
  const auto above =
      std::lower_bound(nodes_.begin(), nodes_.end(), x,
                       [](const Node& node, double at) { return node.log_bytes < at; });
  Prediction prediction;
  if (above == nodes_.end() || (above == nodes_.begin() && above->log_bytes > x)) {
    const Node& last = above == nodes_.end() ? nodes_.back() : nodes_.front();
    prediction.seconds = lines_.seconds(bytes) * std::exp(last.log_residual);
    prediction.doubt = std::abs(x - last.log_bytes) / 2;
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
  const double straight = on_line({std::exp(low.log_bytes), std::exp(low.log_seconds)},
                                  {std::exp(high.log_bytes), std::exp(high.log_seconds)}, bytes);
  prediction.seconds = std::exp((within + std::log(straight)) / 2);
  prediction.doubt = std::abs(most - least) / 2;
  return prediction;
}

}  // namespace foretoken
