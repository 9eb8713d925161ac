// Samples -> fixed time plus work at a rate.
#pragma once

#include <vector>

#include "calibrate/fit/gemm_fit.h"

namespace foretoken::calibrate {

struct LinePoint {
  double work = 0;     // bytes or operations
  double seconds = 0;  // measured
  double least = 0;    // a bound that another resource sets: t = t0 + max(work / rate, least)
};

struct LineFit {
  double t0 = 0;
  double rate = 0;   // work per second
  double sd = 0;     // of the logarithm, so that 90 % of held-out errors lie within 1.645 of it
  HeldOut held_out;  // every fifth point left out in turn
};

// t = t0 + max(work / rate, least) by least mean |log ratio|.
LineFit fit_line(const std::vector<LinePoint>& points, double repeatability);

double line_seconds(const LineFit& fit, const LinePoint& point);

}  // namespace foretoken::calibrate
