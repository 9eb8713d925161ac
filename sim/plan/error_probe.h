// Numeric error as a prediction's companion: what a choice of formats does to values. sim/ knows no
// kernels, so it asks through this interface; calibrate/quality answers with the real codec and
// GEMM kernels, and a build without it has no answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "sim/metrics/metrics.h"
#include "sim/spec/format.h"

namespace foretoken {

// Signal-to-noise ratio: 10 log10(energy of the exact values / energy of the error).
struct Snr {
  double db = 0;      // over all samples together; infinite where nothing is lost
  Interval interval;  // of the samples apart: central 90 %
};

struct ErrorFigure {
  Snr all;
  // Over the values beside spikes: those of at most 32 times the median magnitude. A spike's energy
  // hides what happens to its neighbours.
  Snr bulk;
  // Of synthetic all-reduces: on values without any spike.
  std::optional<Snr> plain;
  std::string method;  // "w4a16_g128 kernel", "two_step over 8 ranks"
};

class ErrorProbe {
 public:
  virtual ~ErrorProbe() = default;

  // Each returns nothing where no kernel knows the format. Throws InputError when the user's data
  // do not suit the question. One caller at a time.
  //
  // Weights rounded to the format, against bf16 weights.
  virtual std::optional<ErrorFigure> weights(const Format& weights) = 0;
  // Output of a GEMM of rounded operands, against the exact product of the bf16 ones.
  virtual std::optional<ErrorFigure> gemm(const Format& weights, const Format& activations) = 0;
  // Result of an all-reduce over so many ranks, against the exact sum. `algorithm` is a name of
  // sim/network's table: how often values are quantised anew depends on it.
  virtual std::optional<ErrorFigure> all_reduce(const Format& wire, int ranks,
                                                const std::string& algorithm) = 0;
  // What the figures were measured on, one line.
  virtual std::string data() const = 0;
};

// "FILE" or "FILE:TENSOR", .npy or .safetensors; empty: synthetic values.
struct ErrorProbeOptions {
  std::string weights;
  std::string activations;
  std::uint64_t seed = 1;
};
using MakeErrorProbe = std::function<std::unique_ptr<ErrorProbe>(const ErrorProbeOptions&)>;

}  // namespace foretoken
