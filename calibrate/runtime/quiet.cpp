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
#include "kernels/base/rounds.h"
#include "kernels/gemm/cpu_gemm.h"
#include "kernels/gemm/synthetic.h"
#include "sim/core/error.h"

namespace foretoken::runtime {
namespace {

constexpr std::int64_t kRows = 64, kWidth = 512;
constexpr int kMostCores = 2;       // watched at once
constexpr double kFirstLook = 0.5;  // s for a first idea of a fast reading

// Of this process, by the number of cores that worked at once: two that share a cache or an
// execution unit slow each other down.
std::vector<double>& readings(int cores) {
  static std::array<std::vector<double>, kMostCores + 1> all;
  return all.at(static_cast<std::size_t>(cores));
}

}  // namespace

// In cache: what moves it moves the measurement beside it.
struct Sentinel::Work {
  kernels::WorkerPool pool{1};
  kernels::CpuGemm gemm{pool};
  kernels::PackedWeights weights = kernels::pack_from_fp32(
      kernels::synthetic_matrix(kernels::SyntheticKind::normal, kWidth, kWidth, 1), kWidth, kWidth,
      {});
  std::vector<kernels::Bf16> in =
      std::vector<kernels::Bf16>(kRows * kWidth, kernels::to_bf16(0.5F));
  std::vector<kernels::Bf16> out = std::vector<kernels::Bf16>(kRows * kWidth);

  void run() {
    gemm.run({kRows, kWidth, kWidth, {}, kernels::OutputType::bf16}, weights, {in.data(), nullptr},
             out.data());
  }
  double seconds() {
    constexpr int kTimes = 5, kCalls = 3;
    run();
    std::vector<double> times;
    times.reserve(kTimes);
    for (int i = 0; i < kTimes; ++i) {
      times.push_back(kernels::wall_seconds(kCalls, [&] { run(); }));
    }
    return kernels::median(times);
  }
};

Sentinel::Sentinel(std::vector<int> cores, int ranks)
    : cores_(std::move(cores)),
      watched_(std::min({ranks, static_cast<int>(cores_.size()), kMostCores})) {
  FT_CHECK(!cores_.empty());
  for (int i = 0; i < watched_; ++i) {
    work_.push_back(std::make_unique<Work>());
  }
  if (watched_ > 1) {
    pair_ = std::make_unique<calibrate::CorePair>();
  }
  calibrate::pin_to_core(cores_[at_]);
  if (readings(watched_).empty()) {
    const double end = calibrate::now_seconds() + kFirstLook;
    while (calibrate::now_seconds() < end) {
      seconds();
    }
  }
}

Sentinel::~Sentinel() = default;

double Sentinel::seconds() {
  double slowest = 0;
  if (watched_ == 1) {
    slowest = work_[0]->seconds();
  } else {
    std::array<double, kMostCores> each{};
    pair_->run(cores_[0], cores_[1], [&](int rank) {
      const auto i = static_cast<std::size_t>(rank);
      each[i] = work_[i]->seconds();
    });
    slowest = std::max(each[0], each[1]);
  }
  readings(watched_).push_back(slowest);
  return slowest;
}

double Sentinel::level(double seconds, int cores) {
  return seconds / calibrate::usual_reading(readings(cores)) - 1;
}

double Sentinel::wait(double patience) {
  constexpr int kReadings = 5;  // on one core
  const double end = calibrate::now_seconds() + patience;
  while (true) {
    for (int i = 0; i < kReadings; ++i) {
      const double reading = seconds();
      if (level(reading, watched_) <= kQuietLevel || calibrate::now_seconds() > end) {
        return reading;
      }
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
