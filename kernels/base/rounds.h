// Interleaved timing: every round times each contestant once, so that clocks and neighbours treat
// all alike; ratios are taken within a round.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace foretoken::kernels {

struct Contestant {
  std::string name;
  // Runs once (or often, and divides) and returns the seconds of one run.
  std::function<double(std::size_t round)> time;
  std::vector<double> seconds{};  // one a counted round
};

struct Rounds {
  std::size_t fewest = 7;
  std::size_t warm = 0;      // rounds before them that do not count
  double least_seconds = 0;  // goes on until so much was timed
  bool shuffled = false;     // visits the contestants in another order every round
};

void time_rounds(std::vector<Contestant>& contestants, const Rounds& rounds);

double median(std::vector<double> values);  // of an even number of values the upper one
double least(const std::vector<double>& values);
// Median over the rounds of anchor time / candidate time.
double median_speed(const Contestant& candidate, const Contestant& anchor);

// Wall-clock seconds of one of `repeats` runs in a row.
double wall_seconds(int repeats, const std::function<void()>& step);

}  // namespace foretoken::kernels
