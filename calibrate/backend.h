// The seam between the calibration and the kinds of hardware it knows: one row of the table each.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/bench/bench_case.h"
#include "calibrate/bench/suite.h"
#include "calibrate/fit/measurements.h"

namespace foretoken::calibrate {

// A device that is ready to be measured.
class Bench {
 public:
  virtual ~Bench() = default;
  virtual DeviceMeasurements facts() const = 0;  // without samples
  virtual const std::vector<BenchCase>& cases() const = 0;
  // s of a fixed kernel, right now, on so many cores at once.
  virtual double sentinel(int cores) = 0;
};

struct Backend {
  std::string_view name;
  std::string_view meaning;
  // Throws InputError, in one line, where there is no such hardware or it was not built.
  std::unique_ptr<Bench> (*open)(const SuiteOptions& options);
  std::vector<std::string> (*formats)();  // GEMM formats under their names in profiles
  bool pairs = false;  // measures all-reduces of two devices, which need a topology to relate to
};
std::span<const Backend> backends();
// Throws InputError with the known names.
const Backend& find_backend(std::string_view name);

}  // namespace foretoken::calibrate
