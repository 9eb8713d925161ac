#include <chrono>
#include <exception>
#include <memory>
#include <thread>

#include "calibrate/bench/cpu_subjects.h"
#include "calibrate/bench/thread_pair.h"
#include "kernels/base/aligned_buffer.h"
#include "kernels/base/float_types.h"
#include "kernels/collective/tcp_transport.h"
#include "kernels/collective/thread_transport.h"

namespace foretoken::calibrate {

namespace k = kernels;

std::vector<std::unique_ptr<k::Transport>> make_wire(PairWire wire) {
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

Timing time_all_reduce(int core_a, int core_b, std::vector<std::unique_ptr<k::Transport>>& pair,
                       const k::WireFormat& wire, std::size_t bytes, double seconds) {
  k::CollectiveDesc desc;
  desc.type = k::ValueType::bf16;
  desc.values = bytes / sizeof(k::Bf16);
  desc.first = desc.second = wire;
  std::unique_ptr<k::Collective> ranks[2];
  k::AlignedBuffer<k::Bf16> in[2], out[2];
  for (int rank = 0; rank < 2; ++rank) {
    ranks[rank] = std::make_unique<k::Collective>(*pair[static_cast<std::size_t>(rank)], desc);
    in[rank] = k::AlignedBuffer<k::Bf16>(desc.values);
    out[rank] = k::AlignedBuffer<k::Bf16>(desc.values);
    for (std::size_t i = 0; i < desc.values; ++i) {
      in[rank][i] = k::to_bf16(static_cast<float>(i * 37 % 256) / 128 - 1);
    }
  }
  return time_together(
      core_a, core_b, [&](int rank) { ranks[rank]->run(in[rank].data(), out[rank].data()); },
      seconds);
}

Timing time_together(int core_a, int core_b, const std::function<void(int rank)>& call,
                     double seconds) {
  const auto sample = [&](int calls) {
    return run_pair(core_a, core_b, [&](int rank) {
      for (int i = 0; i < calls; ++i) {
        call(rank);
      }
    });
  };
  sample(1);
  double once = sample(1).seconds;
  if (once < 1e-4) {
    once = std::max(sample(8).seconds / 8, 1e-7);
  }
  // Groups of at least 200 us: the start of the threads must not show.
  const int calls = std::clamp(static_cast<int>(2e-4 / once), 1, 1000);
  std::vector<double> clean, all;
  const double begin = now_seconds();
  const std::size_t fewest = once > 1e-3 ? 4 : 7;
  while (all.size() < fewest || (now_seconds() - begin < seconds && all.size() < 200)) {
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
