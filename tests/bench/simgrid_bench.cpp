// The flows of network_bench.cpp on SimGrid, set up as in tests/oracle, for a comparison in the
// same run. SimGrid allows one engine per process, so that one actor goes through all patterns
// once, when the first of these benchmarks runs; each then reports its share of the time.
#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

namespace foretoken {
namespace {

namespace s4u = simgrid::s4u;

enum Pattern : std::int64_t { ring, permutation, all_to_all_rounds, all_pairs };

struct Measured {
  std::int64_t flows = 0;
  double seconds = 0;
};
using Results = std::map<std::pair<std::int64_t, bool>, Measured>;  // by pattern and jitter

constexpr int kHosts = 512;
constexpr int kPairHosts = 64;
constexpr int kRounds = 10;

std::uint64_t xorshift(std::uint64_t& x) {
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

class Runs {
 public:
  Runs() {
    int argc = 1;
    std::string program = "network_bench";
    std::array<char*, 2> argv{program.data(), nullptr};
    s4u::Engine engine(&argc, argv.data());
    for (const char* option :
         {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0",
          "surf/precision:1e-12", "maxmin/precision:1e-12"}) {
      s4u::Engine::set_config(option);
    }
    auto* zone = s4u::create_star_zone("star");
    for (int i = 0; i < kHosts; ++i) {
      hosts_.push_back(zone->create_host("host" + std::to_string(i), 1e9)->seal());
      auto* link = zone->create_split_duplex_link("link" + std::to_string(i), 12.5e9)
                       ->set_latency(0)
                       ->seal();
      zone->add_route(hosts_.back()->get_netpoint(), nullptr, nullptr, nullptr,
                      {{link, s4u::LinkInRoute::Direction::UP}}, true);
    }
    zone->seal();
    s4u::Actor::create("all", hosts_.front(), [this] {
      for (const bool jitter : {false, true}) {
        for (const Pattern pattern : {ring, permutation, all_to_all_rounds, all_pairs}) {
          run(pattern, jitter);
        }
      }
    });
    engine.run();
  }
  const Results& results() const { return results_; }

 private:
  void run(Pattern pattern, bool jitter) {
    const auto begin = std::chrono::steady_clock::now();
    Measured measured;
    for (int round = 0; round < (pattern == all_pairs ? 1 : kRounds); ++round) {
      std::vector<s4u::CommPtr> flows;
      const int hosts = pattern == all_pairs ? kPairHosts : kHosts;
      for (int from = 0; from < hosts; ++from) {
        if (pattern == all_pairs) {
          for (int to = 0; to < hosts; ++to) {
            if (to != from) {
              start(flows, from, to, jitter ? 1'000'000 : 0);
            }
          }
        } else {
          start(flows, from, partner(pattern, from, round), jitter ? 100'000 : 0);
        }
      }
      s4u::Comm::wait_all(flows);
      measured.flows += static_cast<std::int64_t>(flows.size());
    }
    measured.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    results_[{pattern, jitter}] = measured;
  }

  static int partner(Pattern pattern, int from, int round) {
    // 181 and 512 have no common divisor: a permutation without fixed points.
    const int step = pattern == ring ? 1 : pattern == permutation ? 181 : 1 + round % (kHosts - 1);
    return (from + step) % kHosts;
  }

  void start(std::vector<s4u::CommPtr>& flows, int from, int to, std::uint64_t spread) {
    const std::uint64_t bytes = 1'000'000 + (spread > 0 ? xorshift(random_) % spread : 0);
    flows.push_back(s4u::Comm::sendto_async(hosts_[from], hosts_[to], bytes));
  }

  std::vector<s4u::Host*> hosts_;
  Results results_;
  std::uint64_t random_ = 88172645463325252ULL;
};

void simgrid_flows(benchmark::State& state) {
  static const Runs runs;
  const Measured& measured = runs.results().at({state.range(0), state.range(1) != 0});
  while (state.KeepRunning()) {
    state.SetIterationTime(measured.seconds);
  }
  state.SetItemsProcessed(measured.flows);
}
BENCHMARK(simgrid_flows)
    ->ArgNames({"pattern", "jitter"})
    ->ArgsProduct({{ring, permutation, all_to_all_rounds, all_pairs}, {0, 1}})
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace foretoken
