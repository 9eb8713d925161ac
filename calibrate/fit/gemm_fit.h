// Samples of one GEMM format -> roofline, spread and held-out error, through the formulas of
// sim/cost.
#pragma once

#include <span>
#include <vector>

#include "sim/cost/gemm_roofline.h"
#include "sim/spec/profile.h"

namespace foretoken::calibrate {

// Relative errors |predicted / measured - 1| on data the fit has not seen.
struct HeldOut {
  int samples = 0;
  double mean = 0;
  double median = 0;
  double p90 = 0;
  double coverage = 0;    // share inside the nominal 90 % interval
  double half_width = 0;  // median half-width of that interval, relative
};

// A measurement that the fit has not seen.
struct Trial {
  std::vector<std::int64_t> shape;
  double measured = 0, predicted = 0;  // s
  double sd = 0;                       // expected, of the logarithm
};

struct GemmFit {
  GemmRoofline roofline;
  double sd_family = 0, sd_shape = 0, sd_distance = 0;
  bool table_helps = false;  // residuals of neighbours lower the held-out p90
  HeldOut unseen_shapes;     // whole (n, k) groups left out
  std::vector<Trial> unseen;
};

// Minimises the mean |log(predicted / measured)|, never squares of microseconds: a 5 us call counts
// as much as a 5 ms one. `like` gives formats, `sms` the device. `repeatability` is the spread of
// one call between runs, the least that sd_family can be.
GemmFit fit_gemm(std::span<const Sample> samples, const GemmOp& like, int sms,
                 double repeatability);

// The fit's errors on other samples: its table is made of `known`, predicted are `unseen`.
// `roofline` stands for the one fitted where the device is another (transfer).
HeldOut test_gemm_fit(const GemmFit& fit, const GemmRoofline& roofline,
                      std::span<const Sample> known, std::span<const Sample> unseen,
                      const GemmOp& like);

// The roofline alone, for callers with their own hold-out.
GemmRoofline fit_roofline(std::span<const Sample> samples, const GemmOp& like, int sms);

// Mean, p90, coverage and half-width of log errors with their predicted standard deviations.
HeldOut summarise_errors(const std::vector<double>& log_errors, const std::vector<double>& sds);

}  // namespace foretoken::calibrate
