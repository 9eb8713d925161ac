// Measured calls of one kernel family -> parameters of its formula, a field of residuals around it
// and the spread of both, with everything tested on groups of calls that the fit did not see.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "calibrate/fit/gemm_fit.h"
#include "sim/cost/residual_field.h"

namespace foretoken::calibrate {

// A family's measured calls, by row. A group is what is left out together: a layer, a head layout,
// an expert shape.
struct OperatorTable {
  std::size_t axes = 0;
  std::vector<double> at;  // rows x axes: coordinates for the residuals (sim/cost)
  std::vector<int> group;
  std::vector<double> seconds;  // measured
  // The formula of sim/cost for one row under these parameters, all positive.
  std::function<double(std::size_t row, const std::vector<double>& parameters)> formula;
  std::vector<double> start;  // of the search for them

  std::size_t rows() const { return seconds.size(); }
  std::span<const double> where(std::size_t row) const { return {&at[row * axes], axes}; }
};

struct OperatorFit {
  std::vector<double> parameters;
  // Residuals and spread. Where residuals do not lower the error on groups left out, the formula
  // stands alone: a field of sd 0.
  ResidualField field;
  HeldOut left_out;  // whole groups of the samples, each predicted from the others
};

// Parameters by least mean |log(measured / formula)|, then the field by the predictions of groups
// left out. `rows`: the samples.
OperatorFit fit_operator(const OperatorTable& table, const std::vector<std::size_t>& rows);

struct OperatorErrors {
  std::vector<double> log_error;  // log(predicted / measured)
  std::vector<double> sd;         // expected
};
// The fit's errors on other rows. `parameters` stand for the fitted ones where the device is
// another (transfer).
OperatorErrors test_operator_fit(const OperatorTable& table, const OperatorFit& fit,
                                 const std::vector<double>& parameters,
                                 const std::vector<std::size_t>& rows);

// Which `count` of the candidate rows to measure: each is the one farthest from those before it, in
// axes scaled to their ranges, among a random few. The few keep corners from taking everything.
std::vector<std::size_t> choose_spread(const OperatorTable& table,
                                       const std::vector<std::size_t>& candidates,
                                       std::size_t count);

}  // namespace foretoken::calibrate
