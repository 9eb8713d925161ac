// Minimising a smooth-ish function of a few positive numbers, deterministically and without
// derivatives.
#pragma once

#include <functional>
#include <vector>

namespace foretoken::calibrate {

// Golden-section search along each logarithm in turn, over a range around the best point so far
// that halves each sweep. Stops after `sweeps`. REQUIRES: all of `start` > 0.
std::vector<double> minimise_log(const std::function<double(const std::vector<double>&)>& cost,
                                 std::vector<double> start, double log_range = 3, int sweeps = 14);

// Quantile by linear interpolation. REQUIRES: values not empty, 0 <= q <= 1.
double quantile(std::vector<double> values, double q);
double mean(const std::vector<double>& values);

}  // namespace foretoken::calibrate
