// Numeric error as an output: what a format or a collective does to values, on data of known shape.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/codec/codec.h"

namespace foretoken::kernels {

struct NumericError {
  double relative = 0;  // |error| / |exact|, both as Euclidean norms
  double snr_db = 0;    // -20 log10(relative); infinite where nothing is lost
  double maximum = 0;   // the largest absolute error
};

// REQUIRES: same length.
NumericError numeric_error(std::span<const double> exact, std::span<const float> actual);

// What packing and unpacking does to `values`.
NumericError codec_error(const Codec& codec, const WireFormat& format,
                         std::span<const float> values);

// normal: unit variance. heavy_tailed: Student's t with 3 degrees of freedom. spikes: unit normal
// with magnitudes of 500 to 5,600 in the same 4 of 4,096 channels of every row, the shape that
// Super Experts describes (arXiv 2507.23279).
enum class SampleKind : std::uint8_t { normal, heavy_tailed, spikes };

inline constexpr SampleKind kSampleKinds[] = {SampleKind::normal, SampleKind::heavy_tailed,
                                              SampleKind::spikes};

std::string_view to_string(SampleKind kind);

// The same values for the same seed, on every machine up to the last bits of log, sqrt and cos.
std::vector<float> sample_values(SampleKind kind, std::size_t n, std::uint64_t seed);

}  // namespace foretoken::kernels
