#include "sim/cli/progress.h"

#include <gtest/gtest.h>

namespace foretoken::cli {
namespace {

// 120 of 480 in 6 s: 20/s, so 360 more take 18 s.
TEST(Progress, The_line_tells_rate_and_time_left) {
  EXPECT_EQ(progress_line("runs", 120, 480, 6),
            "runs [#######.......................] 120/480, 20/s, 18 s left");
}

TEST(Progress, Slow_work_is_told_by_the_minute) {
  // 2 of 100 in 30 s: 4 a minute, 98 more take 1470 s.
  EXPECT_EQ(progress_line("rows", 2, 100, 30),
            "rows [..............................] 2/100, 4.0/min, 25 min left");
}

TEST(Progress, Done_leaves_nothing) {
  EXPECT_EQ(progress_line("rows", 5, 5, 2),
            "rows [##############################] 5/5, 2.5/s, 0 s left");
}

}  // namespace
}  // namespace foretoken::cli
