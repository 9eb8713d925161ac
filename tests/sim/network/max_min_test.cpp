#include "sim/network/max_min.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "sim/core/random.h"

namespace foretoken {
namespace {

using Rates = std::vector<double>;

struct Flows {
  MaxMinProblem problem;
  explicit Flows(std::vector<double> capacity) {
    problem.clear();
    problem.capacity = std::move(capacity);
  }
  Flows& add(const std::vector<std::int32_t>& links, double cap = kUncapped) {
    problem.add_flow(links.data(), links.data() + links.size(), cap);
    return *this;
  }
  Rates solve() const {
    MaxMinSolver solver;
    Rates rates;
    solver.solve(problem, rates);
    return rates;
  }
};

TEST(MaxMin, Equal_flows_share_a_link_equally) {
  EXPECT_EQ(Flows({12}).add({0}).add({0}).add({0}).solve(), (Rates{4, 4, 4}));
}

TEST(MaxMin, A_flow_held_back_elsewhere_leaves_its_part_to_the_others) {
  // Link 0 (10): flows a, b; link 1 (2): flow b alone as well. b = 2, a = 8.
  EXPECT_EQ(Flows({10, 2}).add({0}).add({0, 1}).solve(), (Rates{8, 2}));
}

TEST(MaxMin, The_parking_lot) {
  // One long flow over three links of 6, a short one on each: link shares are 3, all flows get 3.
  EXPECT_EQ(Flows({6, 6, 6}).add({0, 1, 2}).add({0}).add({1}).add({2}).solve(),
            (Rates{3, 3, 3, 3}));
  // A second short flow on the last link: 6/3 = 2 there, 6 - 2 = 4 on the others.
  EXPECT_EQ(Flows({6, 6, 6}).add({0, 1, 2}).add({0}).add({1}).add({2}).add({2}).solve(),
            (Rates{2, 4, 4, 2, 2}));
}

TEST(MaxMin, Three_levels_are_filled_one_after_the_other) {
  // Link 0 (3): a b c at 1. Link 1 (5): c d -> d = 4. Link 2 (10): d e -> e = 6.
  EXPECT_EQ(Flows({3, 5, 10}).add({0}).add({0}).add({0, 1}).add({1, 2}).add({2}).solve(),
            (Rates{1, 1, 1, 4, 6}));
}

TEST(MaxMin, A_cap_holds_a_flow_back_and_frees_the_rest) {
  EXPECT_EQ(Flows({10}).add({0}, 2).add({0}).add({0}).solve(), (Rates{2, 4, 4}));
  // A cap above the share does nothing.
  EXPECT_EQ(Flows({9}).add({0}, 5).add({0}).add({0}).solve(), (Rates{3, 3, 3}));
  // All capped: the link stays idle in part.
  EXPECT_EQ(Flows({9}).add({0}, 1).add({0}, 2).solve(), (Rates{1, 2}));
}

TEST(MaxMin, A_flow_without_links_gets_its_cap) {
  EXPECT_EQ(Flows({9}).add({}, 5).add({0}).solve(), (Rates{5, 9}));
}

TEST(MaxMin, The_solver_can_be_used_again) {
  MaxMinSolver solver;
  Rates rates;
  solver.solve(Flows({12}).add({0}).add({0}).problem, rates);
  solver.solve(Flows({8, 2}).add({1}).problem, rates);
  EXPECT_EQ(rates, (Rates{2}));
}

struct Random {
  std::vector<double> capacity;
  std::vector<std::vector<std::int32_t>> links;
  std::vector<double> caps;
};

Random random_problem(std::uint64_t seed) {
  RandomStream random(seed, "max_min_test");
  Random made;
  const auto link_count = random.uniform_int(1, 40);
  for (std::int64_t l = 0; l < link_count; ++l) {
    made.capacity.push_back(random.uniform() * 100 + 0.1);
  }
  const auto flow_count = random.uniform_int(1, 120);
  for (std::int64_t f = 0; f < flow_count; ++f) {
    std::vector<std::int32_t> links;
    for (std::int64_t i = random.uniform_int(1, 6); i > 0; --i) {
      links.push_back(static_cast<std::int32_t>(random.uniform_int(0, link_count - 1)));
    }
    std::sort(links.begin(), links.end());
    links.erase(std::unique(links.begin(), links.end()), links.end());
    made.links.push_back(links);
    made.caps.push_back(random.uniform() < 0.3 ? random.uniform() * 10 : kUncapped);
  }
  return made;
}

Rates solve(const Random& random, const std::vector<std::size_t>& order, double factor = 1) {
  std::vector<double> capacity = random.capacity;
  for (double& c : capacity) {
    c *= factor;
  }
  Flows flows(capacity);
  for (const std::size_t f : order) {
    flows.add(random.links[f], random.caps[f] * factor);
  }
  const Rates shuffled = flows.solve();
  Rates rates(shuffled.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    rates[order[i]] = shuffled[i];
  }
  return rates;
}

std::vector<std::size_t> identity(const Random& random) {
  std::vector<std::size_t> order(random.links.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

// The two conditions that characterise the max-min allocation (Bertsekas and Gallager): feasible,
// and every flow at its cap or on a saturated link on which no other flow gets more.
TEST(MaxMin, Every_flow_meets_its_cap_or_a_saturated_link_where_nobody_gets_more) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Random random = random_problem(seed);
    const Rates rates = solve(random, identity(random));
    std::vector<double> load(random.capacity.size(), 0);
    std::vector<double> most(random.capacity.size(), 0);
    for (std::size_t f = 0; f < rates.size(); ++f) {
      EXPECT_GT(rates[f], 0);
      for (const std::int32_t l : random.links[f]) {
        load[l] += rates[f];
        most[l] = std::max(most[l], rates[f]);
      }
    }
    for (std::size_t l = 0; l < load.size(); ++l) {
      EXPECT_LE(load[l], random.capacity[l] * (1 + 1e-12));
    }
    for (std::size_t f = 0; f < rates.size(); ++f) {
      bool held = rates[f] >= random.caps[f];
      for (const std::int32_t l : random.links[f]) {
        held |= load[l] >= random.capacity[l] * (1 - 1e-12) && rates[f] >= most[l] * (1 - 1e-12);
      }
      EXPECT_TRUE(held) << "flow " << f;
    }
  }
}

TEST(MaxMin, The_order_of_the_flows_does_not_change_a_bit) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Random random = random_problem(seed);
    std::vector<std::size_t> order = identity(random);
    const Rates rates = solve(random, order);
    std::reverse(order.begin(), order.end());
    EXPECT_EQ(solve(random, order), rates);
    RandomStream shuffle(seed, "shuffle");
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[shuffle.uniform_int(0, static_cast<std::int64_t>(i) - 1)]);
    }
    EXPECT_EQ(solve(random, order), rates);
  }
}

TEST(MaxMin, Links_and_caps_times_a_power_of_two_scale_the_rates_exactly) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Random random = random_problem(seed);
    Rates rates = solve(random, identity(random));
    for (double& rate : rates) {
      rate *= 4;
    }
    EXPECT_EQ(solve(random, identity(random), 4), rates);
  }
}

}  // namespace
}  // namespace foretoken
