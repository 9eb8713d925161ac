#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <thread>
#include <utility>

#include "calibrate/bench/cpu_subjects.h"
#include "calibrate/bench/pace.h"
#include "calibrate/bench/thread_pair.h"
#include "kernels/base/aligned_buffer.h"
#include "kernels/base/float_types.h"
#include "kernels/collective/tcp_transport.h"
#include "kernels/collective/thread_transport.h"

namespace foretoken::calibrate {

namespace k = kernels;

namespace {

constexpr std::size_t kFewestSamples = 7, kFewestClean = 3;
constexpr std::size_t kMostSamples = 200;  // of a placement
constexpr int kMostPlacements = 8;

Wire make_wire(PairWire wire) {
  constexpr std::chrono::milliseconds kTimeout{10000};
  if (wire == PairWire::threads) {
    return k::make_thread_transports(2, kTimeout);
  }
  std::vector<std::unique_ptr<k::Transport>> pair(2);
  const k::TcpListener listener;
  const auto options = [&](int rank) {
    k::TcpOptions o;
    o.rank = rank;
    o.ranks = 2;
    o.root_port = listener.port();
    o.timeout = kTimeout;
    return o;
  };
  std::exception_ptr failure;
  std::thread peer([&] {
    try {
      pair[1] = k::connect_tcp(options(1));
    } catch (...) {
      failure = std::current_exception();
    }
  });
  try {
    pair[0] = k::connect_tcp(options(0), &listener);
  } catch (...) {
    peer.join();
    throw;
  }
  peer.join();
  if (failure) {
    std::rethrow_exception(failure);
  }
  return pair;
}

}  // namespace

std::vector<Wire> make_wires(PairWire kind) {
  std::vector<Wire> wires(kind == PairWire::threads ? kMostPlacements : 1);
  std::generate(wires.begin(), wires.end(), [kind] { return make_wire(kind); });
  return wires;
}

Timing time_all_reduce(CorePair& pair, int core_a, int core_b, std::vector<Wire>& wires,
                       const k::WireFormat& format, std::size_t bytes, double seconds) {
  k::CollectiveDesc desc;
  desc.type = k::ValueType::bf16;
  desc.values = bytes / sizeof(k::Bf16);
  desc.first = desc.second = format;
  struct Rank {
    std::unique_ptr<k::Collective> collective;
    k::AlignedBuffer<k::Bf16> in, out;
  };
  std::vector<std::array<Rank, 2>> placements(static_cast<std::size_t>(placements_for(4 * bytes)));
  std::vector<std::function<void(int rank)>> calls;
  for (std::size_t p = 0; p < placements.size(); ++p) {
    for (std::size_t i = 0; i < 2; ++i) {
      Rank& rank = placements[p][i];
      rank.collective = std::make_unique<k::Collective>(*wires[p % wires.size()][i], desc);
      rank.in = k::AlignedBuffer<k::Bf16>(desc.values);
      rank.out = k::AlignedBuffer<k::Bf16>(desc.values);
      for (std::size_t n = 0; n < desc.values; ++n) {
        rank.in[n] = k::to_bf16(static_cast<float>(n * 37 % 256) / 128 - 1);
      }
    }
    calls.emplace_back([&ranks = placements[p]](int rank) {
      Rank& own = ranks[static_cast<std::size_t>(rank)];
      own.collective->run(own.in.data(), own.out.data());
    });
  }
  return time_together(pair, core_a, core_b, calls, seconds);
}

int placements_for(std::size_t bytes) {
  constexpr std::size_t kEnough = std::size_t{1} << 20;  // lines over which chance is averaged
  return static_cast<int>(
      std::clamp<std::size_t>(kEnough / std::max<std::size_t>(bytes, 1), 2, kMostPlacements));
}

namespace {

// Samples of one placement, one a round.
struct Placement {
  const std::function<void(int rank)>* call = nullptr;
  int calls = 1;  // a sample
  std::vector<PairTime> samples;

  // `steady`: of each round, whether the cores were as fast as they get in this pass.
  Timing timing(const std::vector<bool>& steady) const {
    std::vector<double> clean, all;
    for (std::size_t round = 0; round < samples.size(); ++round) {
      all.push_back(samples[round].seconds / calls);
      if (steady[round] && !samples[round].disturbed) {
        clean.push_back(all.back());
      }
    }
    const auto dropped = static_cast<int>(all.size() - clean.size());
    Timing timing = summarise(clean.size() >= kFewestClean ? std::move(clean) : std::move(all));
    timing.dropped = dropped;
    return timing;
  }
};

// Of each round, from the sentinel's readings before and after it.
std::vector<bool> steady_rounds(const std::vector<double>& readings) {
  constexpr double kSteady = 1.06;
  const double least = *std::min_element(readings.begin(), readings.end());
  std::vector<bool> steady;
  for (std::size_t round = 0; round + 1 < readings.size(); ++round) {
    steady.push_back(std::max(readings[round], readings[round + 1]) <= kSteady * least);
  }
  return steady;
}

}  // namespace

Timing time_together(CorePair& pair, int core_a, int core_b,
                     const std::vector<std::function<void(int rank)>>& placements, double seconds) {
  const auto run = [&](const Placement& placement, int calls) {
    return pair.run(core_a, core_b, [&](int rank) {
      for (int i = 0; i < calls; ++i) {
        (*placement.call)(rank);
      }
    });
  };
  std::vector<Placement> list;
  for (const auto& call : placements) {
    Placement& placement = list.emplace_back();
    placement.call = &call;
    run(placement, 1);
    double once = run(placement, 1).seconds;
    if (once < 1e-4) {
      once = std::max(run(placement, 64).seconds / 64, 5e-8);
    }
    // Groups of at least 200 us: the start of the threads must not show.
    placement.calls = std::clamp(static_cast<int>(2e-4 / once), 1, 4000);
  }
  // Round by round: a neighbour who comes for some milliseconds meets a sample or two of each, and
  // the sentinel between the rounds meets the neighbour.
  const std::size_t fewest = std::max(kFewestClean, kFewestSamples / placements.size());
  const double begin = now_seconds();
  std::vector<double> readings{pair_sentinel_seconds(pair, core_a, core_b)};
  for (std::size_t round = 0;
       round < fewest || (now_seconds() - begin < seconds && round < kMostSamples); ++round) {
    for (Placement& placement : list) {
      run(placement, 1);  // back into the caches
      placement.samples.push_back(run(placement, placement.calls));
    }
    readings.push_back(pair_sentinel_seconds(pair, core_a, core_b));
  }
  const std::vector<bool> steady = steady_rounds(readings);
  const auto count = static_cast<double>(list.size());
  Timing sum;
  for (const Placement& placement : list) {
    const Timing timing = placement.timing(steady);
    for (double Timing::*field :
         {&Timing::best, &Timing::lower, &Timing::median, &Timing::p90, &Timing::spread}) {
      sum.*field += timing.*field / count;
    }
    sum.samples += timing.samples;
    sum.dropped += timing.dropped;
  }
  return sum;
}

}  // namespace foretoken::calibrate
