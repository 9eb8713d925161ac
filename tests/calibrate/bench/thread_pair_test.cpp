#include "calibrate/bench/thread_pair.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <stdexcept>

#include "calibrate/bench/machine.h"

namespace foretoken::calibrate {
namespace {

TEST(CorePair, Runs_every_body_once_a_rank_each_on_its_core) {
  const auto cores = this_machine().cores;
  const std::array<int, 2> wanted{cores.front(), cores.back()};
  CorePair pair;
  std::array<int, 2> runs{}, core{};
  for (int i = 1; i <= 100; ++i) {
    const PairTime time = pair.run(wanted[0], wanted[1], [&](int rank) {
      const auto at = static_cast<std::size_t>(rank);
      ++runs[at];
      core[at] = sched_getcpu();
    });
    EXPECT_GT(time.seconds, 0);
    EXPECT_EQ(runs, (std::array<int, 2>{i, i}));
    EXPECT_EQ(core, wanted);
  }
}

TEST(CorePair, Puts_the_affinity_of_the_caller_back) {
  cpu_set_t before, after;
  sched_getaffinity(0, sizeof before, &before);
  CorePair pair;
  pair.run(this_machine().cores.front(), this_machine().cores.back(), [](int) {});
  sched_getaffinity(0, sizeof after, &after);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(CorePair, Hands_on_what_either_rank_threw_and_works_on) {
  const auto cores = this_machine().cores;
  CorePair pair;
  for (const int thrower : {0, 1}) {
    EXPECT_THROW(pair.run(cores.front(), cores.back(),
                          [&](int rank) {
                            if (rank == thrower) {
                              throw std::runtime_error("from a rank");
                            }
                          }),
                 std::runtime_error);
  }
  std::array<int, 2> runs{};
  pair.run(cores.front(), cores.back(), [&](int rank) { ++runs[static_cast<std::size_t>(rank)]; });
  EXPECT_EQ(runs, (std::array<int, 2>{1, 1}));
}

}  // namespace
}  // namespace foretoken::calibrate
