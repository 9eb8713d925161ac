// What measured calls say about their neighbours, as a field over the coordinates of a call
// (logarithms of its sizes): kriging, the conditional mean and variance of a Gaussian process
// (Sacks, Welch, Mitchell, Wynn 1989; Rasmussen and Williams 2006, chapter 2) with a Matern 3/2
// covariance and a length of its own for each axis.
//
// The values are residuals log(measured / formula): far from all samples the field falls back to 0,
// that is to the formula, and its spread grows to that of the formula.
//
// The spread is sharpened by region: kernels change with the shape, so that a formula errs more in
// some regions than in others. Where held-out samples erred more than elsewhere, so will their
// neighbours. It is widen x surprise x kriging sd^0.75: a power below 1, because kriging's own sd
// falls faster towards samples than errors do. With sd = 0 and noise = 1 there is no residual
// anywhere and the spread, by region alone, is that of the formula.
//
// Immutable; safe to share between threads. Cost of a prediction: O(samples^2); made for hundreds.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "sim/cost/cholesky.h"

namespace foretoken {

class ResidualField {
 public:
  struct Settings {
    double sd = 0;                // of the residuals, far from samples
    double noise = 0;             // of one sample
    std::vector<double> lengths;  // one for each axis
    // Region of the spread: reach in lengths, and how many samples the mean is worth.
    double reach = 0.1;
    double prior = 0.3;
    double widen = 1;  // so that nominal intervals cover what they promise
  };
  struct Samples {
    std::size_t axes = 0;
    std::vector<double> at;        // samples x axes
    std::vector<double> residual;  // logarithms
    std::vector<double> excess;    // noise of single samples beyond the common one (outliers)
    std::vector<double> surprise;  // |held-out error| / spread_of(kriging sd); empty: 1 everywhere
    std::size_t count() const { return residual.size(); }
  };

  // Throws std::runtime_error when the covariance is singular (settings without noise).
  ResidualField(Samples samples, Settings settings);

  struct Prediction {
    double log_residual = 0;
    double kriging_sd = 0;  // of the logarithm, as the process has it
    double sd = 0;          // as held-out errors have it
  };
  Prediction at(std::span<const double> where) const;

  const Settings& settings() const { return settings_; }

  // What errors grow with: kriging sd^0.75.
  static double spread_of(double kriging_sd);

  // Mean surprise around a point, `surprise` by sample; samples whose `left_out` is true are
  // skipped.
  static double surprise_at(const Samples& samples, const Settings& settings,
                            std::span<const double> where, std::span<const char> left_out);

  // Covariance of the samples with one another, noise on the diagonal: samples x samples.
  static std::vector<double> covariance(const Samples& samples, const Settings& settings);

 private:
  Samples samples_;
  Settings settings_;
  Cholesky factor_;
  std::vector<double> weights_;  // covariance^-1 residual
};

// Matern 3/2 correlation at a distance counted in lengths.
double matern(double distance);

}  // namespace foretoken
