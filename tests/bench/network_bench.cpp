// Speed of sim/core/event_queue and sim/network on one core. Items per second are events or flows.
//
//   build/release/network_bench --benchmark_min_time=0.5
#include <benchmark/benchmark.h>

#include <functional>
#include <numeric>
#include <queue>
#include <tuple>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/core/random.h"
#include "sim/network/collective.h"
#include "sim/network/flow_network.h"
#include "sim/topology/builders.h"

namespace foretoken {
namespace {

// ---------------------------------------------------------------- event queue, the hold model:
// every event schedules one more at a random distance, so that the number pending stays.

std::uint64_t xorshift(std::uint64_t& x) {
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

struct Hold final : EventHandler {
  explicit Hold(EventQueue& events) : queue(events) {}
  void handle(std::uint64_t payload) override {
    queue.schedule(queue.now() + Time(static_cast<std::int64_t>(xorshift(state) % 1'000'000)),
                   *this, payload);
  }
  EventQueue& queue;
  std::uint64_t state = 88172645463325252ULL;
};

void event_queue(benchmark::State& state) {
  EventQueue queue;
  Hold hold(queue);
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    hold.handle(static_cast<std::uint64_t>(i));
  }
  for (auto _ : state) {
    queue.step();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(event_queue)->Arg(100)->Arg(1000)->Arg(100'000);

// What one would write first.
void priority_queue_of_functions(benchmark::State& state) {
  using Event = std::tuple<std::int64_t, std::uint64_t, std::function<void()>>;
  const auto later = [](const Event& a, const Event& b) {
    return std::pair(std::get<0>(a), std::get<1>(a)) > std::pair(std::get<0>(b), std::get<1>(b));
  };
  std::priority_queue<Event, std::vector<Event>, decltype(later)> queue(later);
  std::uint64_t random = 88172645463325252ULL;
  std::uint64_t sequence = 0;
  std::int64_t now = 0;
  std::function<void()> hold = [&] {
    queue.emplace(now + static_cast<std::int64_t>(xorshift(random) % 1'000'000), sequence++,
                  [&] { hold(); });
  };
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    hold();
  }
  for (auto _ : state) {
    now = std::get<0>(queue.top());
    const std::function<void()> run = std::get<2>(queue.top());
    queue.pop();
    run();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(priority_queue_of_functions)->Arg(100)->Arg(1000)->Arg(100'000);

// ---------------------------------------------------------------- flows on a star of hosts, each
// with a link up and a link down of 12.5 GB/s.

enum Pattern : std::int64_t { ring, permutation, all_to_all_rounds };

class Traffic final : public EventHandler {
 public:
  Traffic(int hosts, Pattern pattern, bool jitter)
      : hosts_(hosts),
        pattern_(pattern),
        jitter_(jitter),
        network_(queue_, std::vector<double>(2 * static_cast<std::size_t>(hosts), 12.5e9)),
        to_(hosts) {
    std::iota(to_.begin(), to_.end(), 0);
    RandomStream random(7, "permutation");
    // A cycle through all hosts (Sattolo), so that none sends to itself.
    for (int i = hosts - 1; i > 0; --i) {
      std::swap(to_[i], to_[random.uniform_int(0, i - 1)]);
    }
  }

  // Starts one flow per host and runs until `rounds` rounds are over.
  std::int64_t run(int rounds) {
    left_ = rounds;
    started_ = 0;
    next_round();
    queue_.run();
    return started_;
  }

 private:
  void next_round() {
    --left_;
    ++round_;
    waiting_ = hosts_;
    for (int from = 0; from < hosts_; ++from) {
      start(from);
    }
  }
  void start(int from) {
    int to = 0;
    switch (pattern_) {
      case ring:
        to = (from + 1) % hosts_;
        break;
      case permutation:
        to = to_[from];
        break;
      case all_to_all_rounds:
        to = (from + 1 + round_ % (hosts_ - 1)) % hosts_;
        break;
    }
    const LinkId links[] = {2 * from, 2 * to + 1};
    const double bytes = jitter_ ? 1e6 + static_cast<double>(xorshift(random_) % 100'000) : 1e6;
    network_.start(links, bytes, *this, 0);
    ++started_;
  }
  void handle(std::uint64_t) override {
    if (--waiting_ == 0 && left_ > 0) {
      next_round();
    }
  }

  int hosts_;
  Pattern pattern_;
  bool jitter_;
  EventQueue queue_;
  FlowNetwork network_;
  std::vector<int> to_;
  int left_ = 0;
  int round_ = 0;
  int waiting_ = 0;
  std::int64_t started_ = 0;
  std::uint64_t random_ = 88172645463325252ULL;
};

void flows(benchmark::State& state) {
  Traffic traffic(static_cast<int>(state.range(0)), static_cast<Pattern>(state.range(1)),
                  state.range(2) != 0);
  std::int64_t items = 0;
  for (auto _ : state) {
    items += traffic.run(100);
  }
  state.SetItemsProcessed(items);
}
BENCHMARK(flows)
    ->ArgNames({"hosts", "pattern", "jitter"})
    ->ArgsProduct({{512}, {ring, permutation, all_to_all_rounds}, {0, 1}});

// The hard case: all pairs at once, so that with jittered sizes every finish changes the shares of
// thousands of flows.
class AllPairs final : public EventHandler {
 public:
  explicit AllPairs(int hosts)
      : hosts_(hosts),
        network_(queue_, std::vector<double>(2 * static_cast<std::size_t>(hosts), 12.5e9)) {}
  std::int64_t run(bool jitter) {
    std::int64_t count = 0;
    for (int from = 0; from < hosts_; ++from) {
      for (int to = 0; to < hosts_; ++to) {
        if (from != to) {
          const LinkId links[] = {2 * from, 2 * to + 1};
          const double bytes =
              jitter ? 1e6 + static_cast<double>(xorshift(random_) % 1'000'000) : 1e6;
          network_.start(links, bytes, *this, 0);
          ++count;
        }
      }
    }
    queue_.run();
    return count;
  }

 private:
  void handle(std::uint64_t) override {}
  int hosts_;
  EventQueue queue_;
  FlowNetwork network_;
  std::uint64_t random_ = 88172645463325252ULL;
};

void all_pairs_at_once(benchmark::State& state) {
  AllPairs pairs(static_cast<int>(state.range(0)));
  std::int64_t items = 0;
  for (auto _ : state) {
    items += pairs.run(state.range(1) != 0);
  }
  state.SetItemsProcessed(items);
}
BENCHMARK(all_pairs_at_once)
    ->ArgNames({"hosts", "jitter"})
    ->Args({64, 0})
    ->Args({64, 1})
    ->Unit(benchmark::kMillisecond);

// ---------------------------------------------------------------- collectives, every transfer a
// flow

Topology box(int gpus) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Switched{gpus, {{450e9}, Time(350'000)}, true});
  return Topology(std::move(spec));
}

void collective(benchmark::State& state) {
  const auto ranks = static_cast<int>(state.range(0));
  const Topology topology = box(ranks);
  CollectiveRequest request;
  request.values = 1 << 24;
  request.gpus.resize(ranks);
  std::iota(request.gpus.begin(), request.gpus.end(), 0);
  request.algorithm = static_cast<Algorithm>(state.range(1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(simulate_alone(topology, {}, request).total);
  }
  state.SetLabel(std::string(name(request.algorithm)));
}
BENCHMARK(collective)
    ->ArgNames({"ranks", "algorithm"})
    ->Args({8, static_cast<int>(Algorithm::ring)})
    ->Args({64, static_cast<int>(Algorithm::ring)})
    ->Args({8, static_cast<int>(Algorithm::two_step)})
    ->Args({8, static_cast<int>(Algorithm::automatic)})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace foretoken

BENCHMARK_MAIN();
