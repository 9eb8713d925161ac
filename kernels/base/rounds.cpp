#include "kernels/base/rounds.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

namespace foretoken::kernels {

void time_rounds(std::vector<Contestant>& contestants, const Rounds& rounds) {
  std::mt19937 random(3);
  std::vector<std::size_t> order(contestants.size());
  std::iota(order.begin(), order.end(), 0);
  double spent = 0;
  for (std::size_t round = 0; round < rounds.warm + rounds.fewest || spent < rounds.least_seconds;
       ++round) {
    if (rounds.shuffled) {
      std::shuffle(order.begin(), order.end(), random);
    }
    for (const std::size_t i : order) {
      const double seconds = contestants[i].time(round);
      spent += seconds;
      if (round >= rounds.warm) {
        contestants[i].seconds.push_back(seconds);
      }
    }
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

double median_speed(const Contestant& candidate, const Contestant& anchor) {
  std::vector<double> ratios(candidate.seconds.size());
  std::transform(anchor.seconds.begin(), anchor.seconds.end(), candidate.seconds.begin(),
                 ratios.begin(), [](double a, double c) { return a / c; });
  return median(ratios);
}

double wall_seconds(int repeats, const std::function<void()>& step) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats; ++i) {
    step();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return took.count() / repeats;
}

}  // namespace foretoken::kernels
