#include "sim/cost/sample_grid.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken {

SampleGrid::SampleGrid(std::vector<Point> points, int axes, std::array<double, kMaxAxes> offsets,
                       Beyond beyond)
    : axes_(axes), offsets_(offsets), beyond_(beyond) {
  FT_CHECK(axes >= 1 && axes <= kMaxAxes && !points.empty());
  std::stable_sort(points.begin(), points.end(),
                   [](const Point& a, const Point& b) { return a.at < b.at; });
  root_ = build(points, 0, axes, offsets);
}

SampleGrid::Node SampleGrid::build(std::span<const Point> points, int axis, int axes,
                                   const std::array<double, kMaxAxes>& offsets) {
  Node node;
  const auto a = static_cast<std::size_t>(axis);
  for (std::size_t first = 0; first < points.size();) {
    std::size_t end = first;
    double sum = 0;
    while (end < points.size() && points[end].at[a] == points[first].at[a]) {
      sum += std::log(points[end++].seconds);
    }
    node.log_x.push_back(std::log(points[first].at[a] + offsets[a]));
    if (axis + 1 == axes) {
      node.value.push_back(sum / static_cast<double>(end - first));  // repeated measurements
    } else {
      node.inner.push_back(build(points.subspan(first, end - first), axis + 1, axes, offsets));
    }
    first = end;
  }
  return node;
}

double SampleGrid::evaluate(const Node& node, int axis,
                            const std::array<double, kMaxAxes>& log_where, bool& inside) const {
  const double x = log_where[static_cast<std::size_t>(axis)];
  const auto value = [&](std::size_t i) {
    return axis + 1 == axes_ ? node.value[i] : evaluate(node.inner[i], axis + 1, log_where, inside);
  };
  const std::size_t count = node.log_x.size();
  const auto above = static_cast<std::size_t>(
      std::upper_bound(node.log_x.begin(), node.log_x.end(), x) - node.log_x.begin());
  if (above == 0) {
    inside = false;
    return value(0);
  }
  const std::size_t low = above - 1;
  if (x == node.log_x[low]) {
    return value(low);
  }
  if (above < count) {
    const double weight = (x - node.log_x[low]) / (node.log_x[above] - node.log_x[low]);
    return (1 - weight) * value(low) + weight * value(above);
  }
  inside = false;
  if (count == 1) {
    return value(0);
  }
  const double last = value(count - 1);
  if (beyond_ == Beyond::hold) {
    return last;
  }
  const double slope = (last - value(count - 2)) / (node.log_x[count - 1] - node.log_x[count - 2]);
  return last + std::clamp(slope, 0.0, 2.0) * (x - node.log_x[count - 1]);
}

SampleGrid::Prediction SampleGrid::at(const std::array<double, kMaxAxes>& where) const {
  std::array<double, kMaxAxes> log_where{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(axes_); ++i) {
    log_where[i] = std::log(where[i] + offsets_[i]);
  }
  Prediction prediction;
  prediction.seconds = std::exp(evaluate(root_, 0, log_where, prediction.inside));
  return prediction;
}

}  // namespace foretoken
