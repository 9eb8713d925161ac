#include "calibrate/runtime/quiet.h"

#include <cmath>
#include <fstream>
#include <string>

#include "kernels/base/rounds.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::runtime {
namespace {

constexpr std::int64_t kRows = 64, kWidth = 512;

Sentinel& sentinel() {
  thread_local Sentinel one;
  return one;
}

}  // namespace

Sentinel::Sentinel()
    : weights_(kernels::pack_from_fp32(
          kernels::synthetic_matrix(kernels::SyntheticKind::normal, kWidth, kWidth, 1), kWidth,
          kWidth, {})),
      in_(kRows * kWidth, kernels::to_bf16(0.5F)),
      out_(kRows * kWidth) {
  seconds();
}

double Sentinel::seconds() {
  constexpr int kTimes = 9;
  std::vector<double> times;
  times.reserve(kTimes);
  for (int i = 0; i < kTimes; ++i) {
    times.push_back(kernels::wall_seconds(5, [&] {
      gemm_.run({kRows, kWidth, kWidth, {}, kernels::OutputType::bf16}, weights_,
                {in_.data(), nullptr}, out_.data());
    }));
  }
  return kernels::median(times);
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

Watch::Watch() : sentinel_before_(sentinel().seconds()), before_(ticks()) {}

Quiet Watch::quiet() const {
  const Ticks after = ticks();
  const double all = after.all - before_.all;
  return {std::abs(sentinel().seconds() / sentinel_before_ - 1),
          all > 0 ? (after.stolen - before_.stolen) / all : 0};
}

}  // namespace foretoken::runtime
