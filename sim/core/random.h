// Random streams: one per purpose, each a function of the scenario's seed and a name, so that
// adding draws to one purpose never shifts another. The distributions are ours, because those of
// the standard library differ between compilers.
#pragma once

#include <cstdint>
#include <string_view>

namespace foretoken {

// SplitMix64's finaliser (Steele, Lea, Flood 2014): a good 64-bit hash of one word.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// FNV-1a over the text, then mixed.
constexpr std::uint64_t hash_text(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return mix64(h);
}

constexpr std::uint64_t hash_combine(std::uint64_t a, std::uint64_t b) {
  return mix64(a ^ (mix64(b) + 0x9e3779b97f4a7c15ULL + (a << 6) + (a >> 2)));
}

// Inverse of the standard normal distribution (Acklam's rational approximation, relative error
// below 1.2e-9). REQUIRES: 0 < p < 1.
double normal_quantile(double p);

// xoshiro256** (Blackman, Vigna 2018).
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0);

  std::uint64_t next();
  double uniform();  // in (0, 1), 52 bits, both ends excluded
  std::int64_t uniform_int(std::int64_t low, std::int64_t high);  // both ends included
  double exponential(double mean);
  double normal();
  double lognormal(double mu, double sigma);  // of the logarithm
  double gamma(double shape, double scale);
  double weibull(double shape, double scale);

 private:
  std::uint64_t state_[4];
};

}  // namespace foretoken
