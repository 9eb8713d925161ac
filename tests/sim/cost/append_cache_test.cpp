#include "sim/cost/append_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace foretoken {
namespace {

TEST(AppendCache, A_value_is_made_once_and_keys_of_one_bucket_stay_apart) {
  AppendCache<int, 2> cache;
  int made = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t key = 0; key < 10; ++key) {
      EXPECT_EQ(cache.get(key, key, [&] { return ++made, static_cast<int>(key) * 7; }),
                static_cast<int>(key) * 7);
    }
  }
  EXPECT_EQ(made, 10);
}

TEST(AppendCache, Threads_that_race_see_one_value) {
  AppendCache<std::uint64_t, 16> cache;
  std::vector<const std::uint64_t*> seen[2];
  std::atomic<int> ready{0};
  const auto work = [&](int who) {
    ready.fetch_add(1);
    while (ready.load() < 2) {
    }
    for (std::uint64_t key = 0; key < 1000; ++key) {
      seen[who].push_back(&cache.get(key, key, [&] { return key * key; }));
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(*seen[0][999], 999u * 999u);
}

}  // namespace
}  // namespace foretoken
