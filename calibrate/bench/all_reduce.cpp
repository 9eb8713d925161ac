#include "calibrate/bench/all_reduce.h"

#include <algorithm>
#include <cstring>

namespace foretoken::calibrate {

PairAllReduce::PairAllReduce(std::size_t values) {
  for (auto& vector : vectors_) {
    vector.assign(values, to_bf16(1.0F));
  }
}

void PairAllReduce::run(int rank) {
  const std::size_t half = vectors_[0].size() / 2;
  const std::size_t own = rank == 0 ? 0 : half;
  const std::size_t own_count = rank == 0 ? half : vectors_[0].size() - half;
  Bf16* mine = vectors_[rank].data();
  const Bf16* theirs = vectors_[1 - rank].data();
  accumulate(mine + own, theirs + own, own_count);
  barrier_.wait();
  const std::size_t other = rank == 0 ? half : 0;
  std::memcpy(mine + other, theirs + other, (vectors_[0].size() - own_count) * sizeof(Bf16));
  barrier_.wait();
}

Timing time_all_reduce(int core_a, int core_b, std::size_t bytes, double seconds) {
  PairAllReduce pair(bytes / sizeof(Bf16));
  const auto sample = [&](int calls) {
    return run_pair(core_a, core_b, [&](int rank) {
      for (int i = 0; i < calls; ++i) {
        pair.run(rank);
      }
    });
  };
  sample(2);
  // Groups of at least 100 us: thread start-up must not show.
  const double once = std::max(sample(8).seconds / 8, 1e-7);
  const int calls = std::clamp(static_cast<int>(1e-4 / once), 2, 1000);
  std::vector<double> clean, all;
  const double begin = now_seconds();
  while (all.size() < 5 || (now_seconds() - begin < seconds && all.size() < 200)) {
    const PairTime time = sample(calls);
    all.push_back(time.seconds / calls);
    if (!time.disturbed) {
      clean.push_back(all.back());
    }
  }
  const auto dropped = static_cast<int>(all.size() - clean.size());
  Timing timing = summarise(clean.size() >= 3 ? std::move(clean) : std::move(all));
  timing.dropped = dropped;
  return timing;
}

}  // namespace foretoken::calibrate
