#include "kernels/gemm/worker_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace foretoken::kernels {
namespace {

TEST(WorkerPool, Every_item_is_done_once_whatever_the_number_of_threads) {
  for (const int threads : {1, 2, 5}) {
    WorkerPool pool(threads);
    for (const std::int64_t count : {0, 1, 3, 4, 5, 1000}) {
      std::vector<int> done(static_cast<std::size_t>(count));
      for (int round = 0; round < 20; ++round) {
        pool.run(count, [&](int, std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            ++done[static_cast<std::size_t>(i)];
          }
        });
      }
      for (const int times : done) {
        EXPECT_EQ(times, 20);
      }
    }
  }
}

TEST(WorkerPool, Shares_are_contiguous_and_belong_to_one_worker) {
  WorkerPool pool(3);
  std::vector<int> owner(10, -1);
  pool.run(10, [&](int worker, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      owner[static_cast<std::size_t>(i)] = worker;
    }
  });
  // 10 * w / 3: shares [0, 3), [3, 6), [6, 10).
  EXPECT_EQ(owner, (std::vector<int>{0, 0, 0, 1, 1, 1, 2, 2, 2, 2}));
}

}  // namespace
}  // namespace foretoken::kernels
