// The stages of the CUDA collectives on emulated warps, all ranks in one process, tick by tick:
// same bytes as the reference, without a GPU. The barriers between ticks are played by order;
// flags, memory order and links are for a real device.
#include "tests/kernels/codec/warp_emulation.h"
// The device code comes after the emulation.
#include <gtest/gtest.h>

#include "cuda_reference.h"
#include "kernels/base/aligned_buffer.h"
#include "kernels/collective/collective_device.cuh"

namespace foretoken::kernels {
namespace {

struct alignas(16) Room {
  std::uint8_t bytes[4 * kBlockValues];
};

struct EmulatedRank {
  std::vector<float> in, out;
  AlignedBuffer<std::uint8_t> messages, halves, sums;
};

class EmulatedGroup {
 public:
  EmulatedGroup(const CollectiveDesc& desc, int ranks)
      : plan_(device::make_plan(desc, ranks)), ranks_(static_cast<std::size_t>(ranks)) {
    for (int rank = 0; rank < ranks; ++rank) {
      EmulatedRank& r = ranks_[static_cast<std::size_t>(rank)];
      r.in = rank_values(rank, desc.values);
      r.out.assign(desc.values, -77.0F);  // every value must be written
      const std::size_t messages = plan_.stride != 0
                                       ? plan_.stride * static_cast<std::size_t>(ranks)
                                       : packed_bytes(desc.first, desc.values);
      r.messages = AlignedBuffer<std::uint8_t>(messages);
      r.halves = AlignedBuffer<std::uint8_t>(packed_bytes(desc.first, desc.values));
      r.sums = AlignedBuffer<std::uint8_t>(packed_bytes(desc.second, desc.values));
      views_[rank] = {r.in.data(),     r.out.data(),  r.messages.data(),
                      r.halves.data(), r.sums.data(), nullptr};
    }
  }

  void run() {
    constexpr std::size_t kWorkers = 3;
    for (int tick = 0; tick < plan_.ticks(); ++tick) {
      for (int rank = 0; rank < plan_.ranks; ++rank) {
        device::Sources sources{};
        device::find_sources(plan_, views_, rank, sources);
        for (std::size_t worker = 0; worker < kWorkers; ++worker) {
          Room room;
          emulation::Warp::run([&] {
            const device::Worker w = device::worker_of(plan_, rank, worker, kWorkers, room.bytes);
            if (plan_.all_to_all()) {
              device::run_tick<ValueType::fp32, true>(plan_, views_, sources, w, tick);
            } else {
              device::run_tick<ValueType::fp32, false>(plan_, views_, sources, w, tick);
            }
          });
        }
      }
    }
  }

  const std::vector<float>& out(int rank) const {
    return ranks_[static_cast<std::size_t>(rank)].out;
  }

 private:
  device::Plan plan_;
  std::vector<EmulatedRank> ranks_;
  CudaRank views_[kCudaMaxRanks];
};

TEST(CollectiveDevice, Every_rank_ends_with_the_reference_values) {
  for (const int ranks : {1, 2, 3, 4, 8}) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{5000}}) {
      for (const CudaCase& c : kCudaCases) {
        if (!cuda_can(c, ranks)) {
          continue;
        }
        const CollectiveDesc desc = cuda_desc(c, ranks, n);
        EmulatedGroup group(desc, ranks);
        group.run();
        for (int rank = 0; rank < ranks; ++rank) {
          ASSERT_EQ(group.out(rank), cuda_expected(desc, ranks, rank))
              << describe(c, ranks, n) << ", rank " << rank;
        }
      }
    }
  }
}

// Groups 0,2 and 1,3 instead of the lower and the upper half: NUMA nodes need not hold neighbours.
TEST(CollectiveDevice, Hierarchical_groups_may_be_any) {
  CollectiveDesc desc = cuda_desc(kCudaCases[5], 4, 3000);
  desc.group_a = {2, 0};
  desc.group_b = {1, 3};
  EmulatedGroup group(desc, 4);
  group.run();
  for (int rank = 0; rank < 4; ++rank) {
    ASSERT_EQ(group.out(rank), cuda_expected(desc, 4, rank));
  }
  desc.group_b = {1, 2};
  EXPECT_THROW(device::make_plan(desc, 4), KernelError);
}

// Stages s and chunks c take c + s - 1 ticks with a barrier between two; all-to-all needs one more,
// because its messages are read in the last tick.
TEST(CollectiveDevice, Barriers_stand_between_ticks) {
  const auto barriers = [](std::size_t which, int ranks) {
    return device::make_plan(cuda_desc(kCudaCases[which], ranks, 4096), ranks).barriers();
  };
  EXPECT_EQ(barriers(0, 4), 2);  // two-step, whole
  EXPECT_EQ(barriers(1, 4), 4);  // in three chunks
  EXPECT_EQ(barriers(4, 4), 3);  // hierarchical
  EXPECT_EQ(barriers(6, 4), 2);  // all-to-all
  CollectiveDesc desc = cuda_desc(kCudaCases[0], 4, 4096);
  desc.phases.wire = false;
  EXPECT_EQ(device::make_plan(desc, 4).barriers(), 0);
}

// A stage that is switched off leaves its buffers as they were.
TEST(CollectiveDevice, Phases_that_are_off_write_nothing) {
  CollectiveDesc desc = cuda_desc(kCudaCases[0], 2, 3000);
  desc.phases.dequantise = false;
  EmulatedGroup group(desc, 2);
  group.run();
  EXPECT_EQ(group.out(0), std::vector<float>(3000, -77.0F));
}

TEST(CollectiveDevice, What_cuda_has_not_is_refused) {
  CollectiveDesc desc = cuda_desc(kCudaCases[0], 4, 4096);
  desc.algorithm = Algorithm::ring;
  EXPECT_THROW(device::make_plan(desc, 4), KernelError);
  desc.algorithm = Algorithm::hierarchical;
  EXPECT_THROW(device::make_plan(desc, 3), KernelError);
  desc.operation = Operation::all_to_all;
  EXPECT_THROW(device::make_plan(desc, 3), KernelError);  // 4096 values for three ranks
  EXPECT_THROW(device::make_plan(desc, 17), KernelError);
}

}  // namespace
}  // namespace foretoken::kernels
