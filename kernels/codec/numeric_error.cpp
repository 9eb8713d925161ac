#include "kernels/codec/numeric_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

// splitmix64: small, good enough for test data, the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  double uniform() {  // (0, 1)
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;
  }

  double normal() {  // Box and Muller
    return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

double student_t3(Random& random) {
  double squares = 0;
  for (int i = 0; i < 3; ++i) {
    const double x = random.normal();
    squares += x * x;
  }
  return random.normal() / std::sqrt(squares / 3);
}

constexpr std::size_t kChannels = 4096;

bool spike_channel(std::size_t i) {
  const std::size_t channel = i % kChannels;
  return channel == 77 || channel == 1415 || channel == 2053 || channel == 3901;
}

double spike(Random& random) {
  const double magnitude = 500 + 5100 * random.uniform();
  return random.uniform() < 0.5 ? -magnitude : magnitude;
}

}  // namespace

NumericError numeric_error(std::span<const double> exact, std::span<const float> actual) {
  FT_KERNEL_CHECK(exact.size() == actual.size());
  double signal = 0;
  double noise = 0;
  NumericError e;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double difference = static_cast<double>(actual[i]) - exact[i];
    signal += exact[i] * exact[i];
    noise += difference * difference;
    e.maximum = std::max(e.maximum, std::abs(difference));
  }
  e.relative = noise == 0 ? 0 : std::sqrt(noise / signal);
  e.snr_db = noise == 0 ? std::numeric_limits<double>::infinity() : -20 * std::log10(e.relative);
  return e;
}

NumericError codec_error(const Codec& codec, const WireFormat& format,
                         std::span<const float> values) {
  std::vector<std::uint8_t> packed(packed_bytes(format, values.size()));
  std::vector<float> out(values.size());
  codec.pack(format, {values.data(), ValueType::fp32}, values.size(), packed.data());
  codec.unpack(format, packed.data(), values.size(), {out.data(), ValueType::fp32});
  return numeric_error(std::vector<double>(values.begin(), values.end()), out);
}

std::string_view to_string(SampleKind kind) {
  switch (kind) {
    case SampleKind::normal:
      return "normal";
    case SampleKind::heavy_tailed:
      return "heavy_tailed";
    case SampleKind::spikes:
      return "spikes";
  }
  return "?";
}

std::vector<float> sample_values(SampleKind kind, std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    double value = 0;
    if (kind == SampleKind::heavy_tailed) {
      value = student_t3(random);
    } else if (kind == SampleKind::spikes && spike_channel(i)) {
      value = spike(random);
    } else {
      value = random.normal();
    }
    x[i] = static_cast<float>(value);
  }
  return x;
}

}  // namespace foretoken::kernels
