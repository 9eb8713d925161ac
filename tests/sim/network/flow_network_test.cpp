#include "sim/network/flow_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "sim/core/random.h"

namespace foretoken {
namespace {

struct Planned {
  Time start;
  double bytes;
  std::vector<LinkId> links;
  double cap = kUncapped;
};

// Starts flows at their times and notes when each finishes.
class Harness : public EventHandler {
 public:
  explicit Harness(std::vector<double> capacity) : network(queue, std::move(capacity)) {}

  void handle(std::uint64_t payload) override {
    const std::size_t index = payload >> 1;
    if ((payload & 1) == 0) {
      const Planned& flow = flows[index];
      ids[index] = network.start(flow.links, flow.bytes, *this, payload | 1, flow.cap);
    } else {
      finishes[index] = queue.now();
      ids.erase(index);
    }
  }
  std::vector<Time> run(std::vector<Planned> planned) {
    flows = std::move(planned);
    finishes.assign(flows.size(), kTimeNever);
    for (std::size_t i = 0; i < flows.size(); ++i) {
      queue.schedule(flows[i].start, *this, i << 1);
    }
    while (queue.step()) {
      if (check) {
        check();
      }
    }
    EXPECT_EQ(network.active(), 0u);
    return finishes;
  }

  EventQueue queue;
  FlowNetwork network;
  std::vector<Planned> flows;
  std::vector<Time> finishes;
  std::map<std::size_t, FlowId> ids;  // of flows under way
  std::function<void()> check;
};

std::vector<Time> run(std::vector<double> capacity, std::vector<Planned> flows) {
  return Harness(std::move(capacity)).run(std::move(flows));
}

using Times = std::vector<Time>;
constexpr double kGB = 1e9;  // 1 GB/s is one byte per ns, 1000 ps a byte

TEST(FlowNetwork, One_flow_takes_bytes_over_the_slowest_link) {
  // 1000 bytes at 1 GB/s: 1 us.
  EXPECT_EQ(run({2 * kGB, kGB}, {{Time(5), 1000, {0, 1}}}), (Times{Time(1'000'005)}));
}

TEST(FlowNetwork, A_part_of_a_picosecond_counts_as_a_whole_one) {
  // 1 byte at 3 GB/s: 333.33 ps.
  EXPECT_EQ(run({3 * kGB}, {{Time(0), 1, {0}}}), (Times{Time(334)}));
}

TEST(FlowNetwork, A_cap_limits_a_flow_that_is_alone) {
  EXPECT_EQ(run({2 * kGB}, {{Time(0), 1000, {0}, kGB}}), (Times{Time(1'000'000)}));
}

TEST(FlowNetwork, N_equal_flows_each_get_one_nth) {
  for (int n = 2; n <= 10; ++n) {
    const Times finishes = run({kGB}, std::vector<Planned>(n, {Time(0), 1000, {0}}));
    EXPECT_EQ(finishes, Times(n, Time(1'000'000LL * n))) << n;
  }
}

TEST(FlowNetwork, A_late_flow_slows_the_first_from_its_start_on) {
  // Alone for 500 ns: 500 of 1000 bytes. Then half each: 500 bytes take 1000 ns, end at 1500. The
  // second has 500 of its 1000 left and the link alone: ends at 2000.
  EXPECT_EQ(run({kGB}, {{Time(0), 1000, {0}}, {Time(500'000), 1000, {0}}}),
            (Times{Time(1'500'000), Time(2'000'000)}));
}

TEST(FlowNetwork, Flows_on_other_links_do_not_feel_it) {
  Harness harness({kGB, kGB});
  const Times finishes = harness.run({{Time(0), 1000, {0}}, {Time(10), 1000, {1}}});
  EXPECT_EQ(finishes, (Times{Time(1'000'000), Time(1'000'010)}));
  EXPECT_EQ(harness.network.solves(), 0u);  // both alone: no solve at all
}

TEST(FlowNetwork, Changes_of_one_instant_are_solved_once) {
  Harness harness({kGB});
  harness.run(std::vector<Planned>(20, {Time(0), 1000, {0}}));
  EXPECT_EQ(harness.network.solves(), 1u);  // all end together as well: nothing left to solve
}

TEST(FlowNetwork, A_flow_that_follows_another_at_the_same_instant_has_the_link_to_itself) {
  EXPECT_EQ(run({kGB}, {{Time(0), 1000, {0}}, {Time(1'000'000), 1000, {0}}}),
            (Times{Time(1'000'000), Time(2'000'000)}));
}

// ------------------------------------------------------------------ properties, on random scenes

struct Scene {
  std::vector<double> capacity;
  std::vector<Planned> flows;
};

Scene random_scene(std::uint64_t seed, bool at_once = false, bool caps = true) {
  RandomStream random(seed, "flow_network_test");
  Scene scene;
  const auto links = random.uniform_int(1, 20);
  for (std::int64_t l = 0; l < links; ++l) {
    scene.capacity.push_back(static_cast<double>(random.uniform_int(1, 64)) * kGB);
  }
  for (auto n = random.uniform_int(1, 80); n > 0; --n) {
    Planned flow;
    flow.start = at_once ? Time(0) : Time(random.uniform_int(0, 20) * 10'000);
    flow.bytes = static_cast<double>(random.uniform_int(1, 100'000));
    for (auto i = random.uniform_int(1, 5); i > 0; --i) {
      flow.links.push_back(static_cast<LinkId>(random.uniform_int(0, links - 1)));
    }
    std::sort(flow.links.begin(), flow.links.end());
    flow.links.erase(std::unique(flow.links.begin(), flow.links.end()), flow.links.end());
    if (caps && random.uniform() < 0.2) {
      flow.cap = random.uniform() * 5 * kGB;
    }
    scene.flows.push_back(flow);
  }
  return scene;
}

TEST(FlowNetwork, No_link_is_over_capacity_and_every_flow_meets_its_cap_or_a_full_link) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Scene scene = random_scene(seed);
    Harness harness(scene.capacity);
    std::vector<double> load;
    int looked = 0;
    harness.check = [&] {
      if (!std::all_of(harness.ids.begin(), harness.ids.end(),
                       [&](const auto& entry) { return harness.network.rate(entry.second) > 0; })) {
        return;  // in the middle of an instant: new flows wait for their rates
      }
      load.assign(scene.capacity.size(), 0);
      for (const auto& [index, id] : harness.ids) {
        for (const LinkId l : scene.flows[index].links) {
          load[l] += harness.network.rate(id);
        }
      }
      for (std::size_t l = 0; l < load.size(); ++l) {
        ASSERT_LE(load[l], scene.capacity[l] * (1 + 1e-12));
      }
      ++looked;
    };
    harness.run(scene.flows);
    EXPECT_GT(looked, 0);
  }
}

// Against a second, slow simulation of the same scene: advance from event to event, share by
// repeated search for the tightest link, in plain doubles.
Times slow_reference(const Scene& scene) {
  const std::size_t n = scene.flows.size();
  std::vector<double> left(n);
  std::vector<int> state(n, 0);  // 0 waiting, 1 under way, 2 done
  Times finishes(n);
  double now = 0;
  for (std::size_t i = 0; i < n; ++i) {
    left[i] = scene.flows[i].bytes;
  }
  while (std::count(state.begin(), state.end(), 2) < static_cast<long>(n)) {
    std::vector<double> rate(n, 0);
    std::vector<char> fixed(n, 0);
    std::vector<double> room = scene.capacity;
    while (true) {
      double best = kUncapped;
      std::vector<int> users(room.size(), 0);
      for (std::size_t i = 0; i < n; ++i) {
        if (state[i] == 1 && !fixed[i]) {
          best = std::min(best, scene.flows[i].cap);
          for (const LinkId l : scene.flows[i].links) {
            ++users[l];
          }
        }
      }
      for (std::size_t l = 0; l < room.size(); ++l) {
        if (users[l] > 0) {
          best = std::min(best, room[l] / users[l]);
        }
      }
      if (best == kUncapped) {
        break;
      }
      std::vector<std::size_t> now_fixed;
      for (std::size_t i = 0; i < n; ++i) {
        if (state[i] != 1 || fixed[i]) {
          continue;
        }
        bool tight = scene.flows[i].cap <= best * (1 + 1e-12);
        for (const LinkId l : scene.flows[i].links) {
          tight |= room[l] / users[l] <= best * (1 + 1e-12);
        }
        if (tight) {
          now_fixed.push_back(i);
        }
      }
      for (const std::size_t i : now_fixed) {
        fixed[i] = 1;
        rate[i] = best;
        for (const LinkId l : scene.flows[i].links) {
          room[l] -= best;
        }
      }
    }
    double next = kUncapped;
    for (std::size_t i = 0; i < n; ++i) {
      if (state[i] == 0) {
        next = std::min(next, to_seconds(scene.flows[i].start));
      } else if (state[i] == 1) {
        next = std::min(next, now + left[i] / rate[i]);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (state[i] == 1) {
        left[i] -= rate[i] * (next - now);
        if (left[i] <= scene.flows[i].bytes * 1e-12) {
          state[i] = 2;
          finishes[i] = time_from_seconds(next);
        }
      } else if (state[i] == 0 && to_seconds(scene.flows[i].start) <= next) {
        state[i] = 1;
      }
    }
    now = next;
  }
  return finishes;
}

TEST(FlowNetwork, Agrees_with_a_slow_simulation_of_random_scenes) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Scene scene = random_scene(seed);
    const Times fast = run(scene.capacity, scene.flows);
    const Times slow = slow_reference(scene);
    for (std::size_t i = 0; i < fast.size(); ++i) {
      // Every solve may round a finish up by a picosecond: there are at most two per flow.
      EXPECT_NEAR(static_cast<double>(fast[i].count()), static_cast<double>(slow[i].count()), 200)
          << "flow " << i;
    }
  }
}

TEST(FlowNetwork, The_order_of_simultaneous_flows_changes_nothing) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Scene scene = random_scene(seed, seed % 2 == 0);
    const Times forwards = run(scene.capacity, scene.flows);
    std::reverse(scene.flows.begin(), scene.flows.end());
    Times backwards = run(scene.capacity, scene.flows);
    std::reverse(backwards.begin(), backwards.end());
    EXPECT_EQ(forwards, backwards);
  }
}

// All flows at 0, no latency: faster links by c divide every finish by c. Each solve rounds
// finishes up to 1 ps, so an agreement to the number of distinct finishes is exact up to that
// rounding.
TEST(FlowNetwork, All_links_times_c_divide_every_finish_by_c) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Scene scene = random_scene(seed, true, false);
    const Times slow = run(scene.capacity, scene.flows);
    for (double& capacity : scene.capacity) {
      capacity *= 8;
    }
    const Times fast = run(scene.capacity, scene.flows);
    for (std::size_t i = 0; i < slow.size(); ++i) {
      const double expected = static_cast<double>(slow[i].count()) / 8;
      EXPECT_NEAR(static_cast<double>(fast[i].count()), expected,
                  static_cast<double>(scene.flows.size()));
    }
  }
}

TEST(FlowNetwork, A_flow_alone_is_never_later_with_more_bandwidth) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(seed, "more_bandwidth");
    const double bytes = static_cast<double>(random.uniform_int(1, 1'000'000'000));
    const double slower = random.uniform() * 100 * kGB + 1;
    const double faster = slower * (1 + random.uniform());
    EXPECT_LE(run({faster}, {{Time(0), bytes, {0}}})[0], run({slower}, {{Time(0), bytes, {0}}})[0]);
  }
}

}  // namespace
}  // namespace foretoken
