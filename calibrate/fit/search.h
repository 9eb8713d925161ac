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

// Steps up and down along each coordinate in turn, as long as they lower the cost; a step that does
// not is halved. Few evaluations, for costly functions: stops after `sweeps`. The start is 1 along
// every coordinate: meant for logarithms. REQUIRES: low <= start <= high.
std::vector<double> minimise_steps(const std::function<double(const std::vector<double>&)>& cost,
                                   std::vector<double> start, const std::vector<double>& low,
                                   const std::vector<double>& high, int sweeps);

// Quantile by linear interpolation. REQUIRES: values not empty, 0 <= q <= 1.
double quantile(std::vector<double> values, double q);
double mean(const std::vector<double>& values);

}  // namespace foretoken::calibrate
