#include "calibrate/bench/host_step.h"

#include <gtest/gtest.h>

#include <numeric>

#include "calibrate/bench/machine.h"

namespace foretoken::calibrate {
namespace {

TEST(StepWorker, Answers_each_step_with_the_checksum_of_its_inputs) {
  StepWorker worker(this_machine().cores.back());
  for (int i = 1; i < 200; ++i) {
    const std::vector<std::int32_t> inputs(static_cast<std::size_t>(i), i);
    ASSERT_EQ(worker.step(inputs), std::int64_t{i} * i);
  }
}

TEST(HostBatch, A_batch_holds_three_numbers_and_the_block_table_of_each_sequence) {
  HostBatch batch(3);
  // Lengths 256, 255, 254: 16 blocks each, and the first needs a 17th for its new token.
  EXPECT_EQ(batch.build(0).size(), 3u * 3 + 17 + 16 + 16);
  // Prompt tokens add three numbers each; now the second sequence is at 256 and takes its 17th
  // block.
  EXPECT_EQ(batch.build(10).size(), 3u * 3 + 17 + 17 + 16 + 30);
}

TEST(HostBatch, Blocks_are_given_back_when_sequences_end) {
  HostBatch batch(2);
  for (int step = 0; step < 5000; ++step) {  // runs out of blocks unless they return
    ASSERT_LE(batch.build(0).size(), 2u * (3 + 33));
  }
}

}  // namespace
}  // namespace foretoken::calibrate
