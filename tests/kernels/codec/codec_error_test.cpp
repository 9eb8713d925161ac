// Signal-to-noise ratios against an independent fp64 model of each kind (scales not rounded, no
// bytes), against the table of the design, and with the spikes that real activations carry.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/codec/codec.h"

namespace foretoken::kernels {
namespace {

using Scale = WireFormat::Scale;

constexpr std::size_t kCount = 1 << 18;  // a few hundredths of a dB of sampling noise

const std::vector<float>& normal_data() {
  static const std::vector<float> data = [] {
    std::mt19937_64 random(2026);
    std::normal_distribution<float> normal;
    std::vector<float> x(kCount);
    for (float& v : x) {
      v = normal(random);
    }
    return x;
  }();
  return data;
}

std::vector<float> round_trip(const WireFormat& format, const std::vector<float>& x) {
  std::vector<std::uint8_t> packed(packed_bytes(format, x.size()));
  std::vector<float> out(x.size());
  best_codec().pack(format, {x.data(), ValueType::fp32}, x.size(), packed.data());
  best_codec().unpack(format, packed.data(), x.size(), {out.data(), ValueType::fp32});
  return out;
}

double eight_significant_bits(double x) {  // what bf16 keeps of a spike
  const double unit = std::ldexp(1.0, std::ilogb(x) - 7);
  return std::nearbyint(x / unit) * unit;
}

// The quantiser of one group in fp64, from the description of the kinds alone.
void model_group(const WireFormat& format, const float* x, std::size_t n, double* out) {
  std::vector<double> rest;
  std::size_t low_at = 0;
  std::size_t high_at = n - 1;
  if (format.spike) {
    low_at = static_cast<std::size_t>(std::min_element(x, x + n) - x);
    high_at = static_cast<std::size_t>(std::max_element(x, x + n) - x);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (!format.spike || (i != low_at && i != high_at)) {
      rest.push_back(x[i]);
    }
  }
  double low = *std::min_element(rest.begin(), rest.end());
  double high = *std::max_element(rest.begin(), rest.end());
  const double levels = (1 << format.bits) - 1;
  double scale = (high - low) / levels;
  double zero = low;
  double code_low = 0;
  double code_high = levels;
  if (format.scale == Scale::symmetric) {
    code_high = (1 << (format.bits - 1)) - 1;
    code_low = -code_high;
    scale = std::max(high, -low) / code_high;
    zero = 0;
  } else if (format.scale == Scale::log8) {
    low = std::min(low, 0.0);
    scale = std::exp2(std::ceil(8 * std::log2((std::max(high, 0.0) - low) / levels)) / 8);
    zero = -std::round(-low / scale) * scale;
  }
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = std::clamp(std::round((x[i] - zero) / scale), code_low, code_high) * scale + zero;
  }
  if (format.spike) {
    out[low_at] = eight_significant_bits(x[low_at]);
    out[high_at] = eight_significant_bits(x[high_at]);
  }
}

std::vector<double> model(const WireFormat& format, const std::vector<float>& x) {
  std::vector<double> out(x.size());
  const auto group = static_cast<std::size_t>(format.group);
  for (std::size_t g = 0; g < x.size(); g += group) {
    model_group(format, &x[g], group, &out[g]);
  }
  return out;
}

template <typename T>
double snr_db(const std::vector<float>& x, const std::vector<T>& out) {
  double signal = 0;
  double noise = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = static_cast<double>(out[i]) - x[i];
    signal += static_cast<double>(x[i]) * x[i];
    noise += error * error;
  }
  return 10 * std::log10(signal / noise);
}

TEST(CodecError, Every_integer_format_is_within_half_a_decibel_of_its_fp64_model) {
  for (const WireFormat& format : all_wire_formats()) {
    if (format.kind == WireFormat::Kind::integer) {
      EXPECT_NEAR(snr_db(normal_data(), round_trip(format, normal_data())),
                  snr_db(normal_data(), model(format, normal_data())), 0.5)
          << to_string(format);
    }
  }
}

// Group-quantised normal data, dB.
TEST(CodecError, The_table_of_expected_ratios_holds) {
  const struct {
    const char* format;
    double db;
  } rows[] = {
      {"int8/g128", 44.6},     {"int7/g128", 38.6},    {"int6/g128", 32.5},
      {"int5/g128", 26.3},     {"int4/g128", 20.0},    {"int3/g128", 13.4},
      {"int2/g128", 6.0},      {"int8/g32", 46.6},     {"int7/g32", 40.6},
      {"int6/g32", 34.4},      {"int5/g32", 28.3},     {"int4/g32", 22.0},
      {"int3/g32", 15.4},      {"int2/g32", 8.0},      {"int8/g128/sym", 43.8},
      {"int3/g128/sym", 11.3}, {"int2/g128/sym", 2.3}, {"int8/g32/sym", 45.5},
      {"int3/g32/sym", 12.9},  {"int2/g32/sym", 3.6},
  };
  for (const auto& row : rows) {
    EXPECT_NEAR(snr_db(normal_data(), round_trip(parse_wire_format(row.format), normal_data())),
                row.db, 0.5)
        << row.format;
  }
}

// Spikes add about 2.0 dB (g32) or 1.25 dB (g128) to affine on normal data.
TEST(CodecError, Spikes_help_even_normal_data) {
  const auto gain = [](const char* with, const char* without) {
    return snr_db(normal_data(), round_trip(parse_wire_format(with), normal_data())) -
           snr_db(normal_data(), round_trip(parse_wire_format(without), normal_data()));
  };
  EXPECT_NEAR(gain("int4/g32/spike", "int4/g32"), 2.0, 0.5);
  EXPECT_NEAR(gain("int4/g128/spike", "int4/g128"), 1.25, 0.5);
}

// fp8 keeps 3 mantissa bits: the relative error of a value is uniform to +-1/16 at the bottom of a
// binade and half that at its top, 31.5 dB on average over normal data.
TEST(CodecError, Fp8_has_the_error_of_three_mantissa_bits) {
  EXPECT_NEAR(snr_db(normal_data(), round_trip(parse_wire_format("fp8"), normal_data())), 31.5,
              0.5);
  EXPECT_NEAR(snr_db(normal_data(), round_trip(parse_wire_format("fp8/g128"), normal_data())), 31.5,
              0.5);
}

// ---- one spike of 500..5,600 a group
// -------------------------------------------------------------

struct Spiked {
  std::vector<float> values;
  std::vector<bool> spike;
};

Spiked spiked_data(std::size_t group) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<float> magnitude(500.0F, 5600.0F);
  Spiked d{normal_data(), std::vector<bool>(kCount)};
  for (std::size_t g = 0; g < kCount; g += group) {
    const std::size_t at = g + random() % group;
    d.values[at] = (random() % 2 == 0 ? 1.0F : -1.0F) * magnitude(random);
    d.spike[at] = true;
  }
  return d;
}

// Signal and error of all values but the spikes.
double others_db(const Spiked& d, const std::vector<float>& out, bool relative) {
  double signal = 0;
  double noise = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!d.spike[i]) {
      const double error = static_cast<double>(out[i]) - d.values[i];
      signal += static_cast<double>(d.values[i]) * d.values[i];
      noise += error * error;
    }
  }
  return 10 * std::log10((relative ? signal : 1.0) / noise);
}

double spike_gain(const char* kind, std::size_t group) {
  const Spiked d = spiked_data(group);
  const std::string base = "int2/g" + std::to_string(group);
  const WireFormat with = parse_wire_format(base + "/spike/" + kind);
  const WireFormat without = parse_wire_format(base + "/" + kind);
  return others_db(d, round_trip(with, d.values), false) -
         others_db(d, round_trip(without, d.values), false);
}

TEST(CodecError, Spike_reserving_saves_the_other_values_of_a_group_under_int2) {
  EXPECT_GE(spike_gain("affine", 32), 14.0);
  EXPECT_GE(spike_gain("affine", 128), 14.0);
  EXPECT_GE(spike_gain("log8", 32), 5.0);
  EXPECT_GE(spike_gain("log8", 128), 5.0);
  EXPECT_GE(spike_gain("sym", 32), 2.0);
  EXPECT_GE(spike_gain("sym", 128), 2.0);
}

TEST(CodecError, Int2_with_spikes_keeps_eight_decibels_on_the_other_values) {
  const Spiked d = spiked_data(32);
  for (const char* format : {"int2/g32/spike", "int2/g32/spike/log8"}) {
    EXPECT_GE(others_db(d, round_trip(parse_wire_format(format), d.values), true), 8.0) << format;
  }
}

}  // namespace
}  // namespace foretoken::kernels
