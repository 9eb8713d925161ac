// Symmetric positive definite systems of a few hundred unknowns, in a fixed order of operations.
#pragma once

#include <cstddef>
#include <vector>

namespace foretoken {

// A = L L^T. Row-major n x n; only the lower triangle of the input is read.
class Cholesky {
 public:
  // Throws std::runtime_error when the matrix is not positive definite.
  Cholesky(std::vector<double> matrix, std::size_t n);

  std::vector<double> solve(const std::vector<double>& right) const;    // A^-1 b
  std::vector<double> forward(const std::vector<double>& right) const;  // L^-1 b
  std::vector<double> inverse() const;                                  // A^-1, whole, row-major

 private:
  std::size_t n_;
  std::vector<double> lower_;
};

}  // namespace foretoken
