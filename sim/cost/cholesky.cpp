#include "sim/cost/cholesky.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace foretoken {

// Right-looking: the update of the rest is a sum of rows, which compilers vectorise without
// reordering any addition.
Cholesky::Cholesky(std::vector<double> matrix, std::size_t n) : n_(n), lower_(std::move(matrix)) {
  // Worked on as the upper triangle U = L^T, whose rows are contiguous.
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      lower_[j * n + i] = lower_[i * n + j];
    }
  }
  for (std::size_t k = 0; k < n; ++k) {
    double* const row = &lower_[k * n];
    if (!(row[k] > 0)) {
      throw std::runtime_error("matrix is not positive definite");
    }
    const double scale = 1 / std::sqrt(row[k]);
    for (std::size_t j = k; j < n; ++j) {
      row[j] *= scale;
    }
    for (std::size_t i = k + 1; i < n; ++i) {
      double* const target = &lower_[i * n];
      const double factor = row[i];
      for (std::size_t j = i; j < n; ++j) {
        target[j] -= factor * row[j];
      }
    }
  }
}

std::vector<double> Cholesky::forward(const std::vector<double>& right) const {
  std::vector<double> x = right;
  for (std::size_t k = 0; k < n_; ++k) {
    const double* const row = &lower_[k * n_];
    x[k] /= row[k];
    for (std::size_t i = k + 1; i < n_; ++i) {
      x[i] -= x[k] * row[i];
    }
  }
  return x;
}

std::vector<double> Cholesky::solve(const std::vector<double>& right) const {
  std::vector<double> x = forward(right);
  for (std::size_t k = n_; k-- > 0;) {
    const double* const row = &lower_[k * n_];
    for (std::size_t j = k + 1; j < n_; ++j) {
      x[k] -= row[j] * x[j];
    }
    x[k] /= row[k];
  }
  return x;
}

std::vector<double> Cholesky::inverse() const {
  // Columns of L^-1 as rows: w[c] solves L w = e_c and is zero before c.
  std::vector<double> w(n_ * n_, 0.0);
  for (std::size_t c = 0; c < n_; ++c) {
    double* const x = &w[c * n_];
    x[c] = 1;
    for (std::size_t k = c; k < n_; ++k) {
      const double* const row = &lower_[k * n_];
      x[k] /= row[k];
      for (std::size_t i = k + 1; i < n_; ++i) {
        x[i] -= x[k] * row[i];
      }
    }
  }
  // A^-1 = L^-T L^-1: entry (a, b) is the sum over k >= max(a, b) of w[a][k] w[b][k].
  std::vector<double> transposed(n_ * n_);
  for (std::size_t a = 0; a < n_; ++a) {
    for (std::size_t k = a; k < n_; ++k) {
      transposed[k * n_ + a] = w[a * n_ + k];
    }
  }
  std::vector<double> inverse(n_ * n_, 0.0);
  for (std::size_t k = 0; k < n_; ++k) {
    const double* const v = &transposed[k * n_];
    for (std::size_t a = 0; a <= k; ++a) {
      double* const target = &inverse[a * n_];
      for (std::size_t b = a; b <= k; ++b) {
        target[b] += v[a] * v[b];
      }
    }
  }
  for (std::size_t a = 0; a < n_; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      inverse[a * n_ + b] = inverse[b * n_ + a];
    }
  }
  return inverse;
}

}  // namespace foretoken
