#include "calibrate/runtime/quiet.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>
#include <utility>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/pace.h"
#include "calibrate/bench/thread_pair.h"
#include "calibrate/bench/timing.h"
#include "calibrate/fit/search.h"
#include "sim/core/error.h"

namespace foretoken::runtime {
namespace {

constexpr int kMostCores = 2;       // watched at once
constexpr double kFirstLook = 0.5;  // s for a first idea of a fast reading

constexpr double kBetween = 0.004;  // s between readings while waiting

class Readings {
 public:
  void add(double seconds) { all_.push_back(seconds); }
  bool empty() const { return all_.empty(); }
  // Looked for anew when they have become a fiftieth more.
  double usual() {
    if (50 * all_.size() >= 51 * known_) {
      known_ = all_.size();
      usual_ = calibrate::usual_reading(all_);
    }
    return usual_;
  }

 private:
  std::vector<double> all_;
  std::size_t known_ = 0;
  double usual_ = 0;
};

// Of this process, by the number of cores that worked at once: two that share a cache or an
// execution unit slow each other down.
Readings& readings(int cores) {
  static std::array<Readings, kMostCores + 1> all;
  return all.at(static_cast<std::size_t>(cores));
}

void stay_busy(double seconds) {
  const double end = calibrate::now_seconds() + seconds;
  while (calibrate::now_seconds() < end) {
  }
}

}  // namespace

Sentinel::Sentinel(std::vector<int> cores, int ranks)
    : cores_(std::move(cores)),
      watched_(std::min({ranks, static_cast<int>(cores_.size()), kMostCores})) {
  FT_CHECK(!cores_.empty());
  if (watched_ > 1) {
    pair_ = std::make_unique<calibrate::CorePair>();
  }
  calibrate::pin_to_core(cores_[at_]);
  if (readings(watched_).empty()) {
    const double end = calibrate::now_seconds() + kFirstLook;
    while (calibrate::now_seconds() < end) {
      seconds();
      stay_busy(kBetween);
    }
  }
}

Sentinel::~Sentinel() = default;

double Sentinel::seconds() {
  const double seconds = watched_ == 1
                             ? calibrate::sentinel_seconds()
                             : calibrate::pair_sentinel_seconds(*pair_, cores_[0], cores_[1]);
  readings(watched_).add(seconds);
  return seconds;
}

double Sentinel::level(double seconds, int cores) { return seconds / readings(cores).usual() - 1; }

double Sentinel::wait(double patience) {
  constexpr int kReadings = 5;  // on one core
  const double end = calibrate::now_seconds() + patience;
  while (true) {
    for (int i = 0; i < kReadings; ++i) {
      const double reading = seconds();
      if (level(reading, watched_) <= kQuietLevel || calibrate::now_seconds() > end) {
        return reading;
      }
      stay_busy(kBetween);  // asleep, a virtual core may wake up in another place
    }
    if (watched_ == 1 && cores_.size() > 1) {
      at_ = (at_ + 1) % cores_.size();
      calibrate::pin_to_core(cores_[at_]);
    }
  }
}

void Evenness::add(const StepResult& step) {
  std::size_t at = 0;
  std::vector<double> repeats;
  for (const Segment& segment : step.graph.segments) {
    const std::size_t width = segment.operators.size();
    for (std::size_t op = 0; op < width && segment.repeat > 1; ++op) {
      repeats.clear();
      for (int i = 0; i < segment.repeat; ++i) {
        repeats.push_back(step.seconds[at + static_cast<std::size_t>(i) * width + op]);
      }
      const double sum = std::accumulate(repeats.begin(), repeats.end(), 0.0);
      all_ += sum;
      beyond_ += sum - calibrate::quantile(repeats, 0.25) * segment.repeat;
    }
    at += width * static_cast<std::size_t>(segment.repeat);
  }
}

bool Quiet::ok() const {
  return moved < 0.03 && level <= kQuietLevel && steal < 0.01 && uneven <= kQuietUneven;
}

Watch::Ticks Watch::ticks() {
  constexpr int kSteal = 7, kFields = 8;
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  Ticks ticks;
  for (int i = 0; i < kFields; ++i) {
    double value = 0;
    file >> value;
    ticks.all += value;
    ticks.stolen += i == kSteal ? value : 0;
  }
  return ticks;
}

Watch::Watch(Sentinel& sentinel, double patience)
    : sentinel_(sentinel), before_(sentinel.wait(patience)), ticks_before_(ticks()) {}

Quiet Watch::quiet() const {
  const Ticks now = ticks();
  const double all = now.all - ticks_before_.all;
  const double after = sentinel_.seconds();
  Quiet quiet;
  quiet.moved = std::abs(after / before_ - 1);
  quiet.level = Sentinel::level(std::max(before_, after), sentinel_.watched());
  quiet.steal = all > 0 ? (now.stolen - ticks_before_.stolen) / all : 0;
  quiet.pace = (before_ + after) / 2;
  return quiet;
}

}  // namespace foretoken::runtime
