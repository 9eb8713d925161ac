// The collectives on a real device: virtual ranks with messages in device memory and in pinned host
// memory, and peers where there are two devices, against the scalar reference. Skipped without a
// device.
#include "kernels/collective/cuda_collective.h"

#include <gtest/gtest.h>

#include <chrono>

#include "cuda_reference.h"
#include "kernels/base/cuda_check.h"
#include "kernels/collective/nccl.h"

namespace foretoken::kernels {
namespace {

class CudaCollectiveTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device on this machine";
    }
  }
};

void expect_reference(CudaGroup& group, const CollectiveDesc& desc, int ranks,
                      const std::string& what) {
  for (int rank = 0; rank < ranks; ++rank) {
    group.upload(rank, rank_values(rank, desc.values).data());
  }
  group.run({}, nullptr);
  group.run({}, nullptr);  // counters carry over
  group.check();
  for (int rank = 0; rank < ranks; ++rank) {
    std::vector<float> out(desc.values);
    group.download(rank, out.data());
    ASSERT_EQ(out, cuda_expected(desc, ranks, rank)) << what << ", rank " << rank;
  }
}

TEST_F(CudaCollectiveTest, Every_virtual_rank_ends_with_the_reference_values) {
  for (const auto wire : {CudaGroup::Wire::device_memory, CudaGroup::Wire::pinned_host}) {
    for (const int ranks : {2, 3, 4, 8}) {
      for (const std::size_t n : {std::size_t{1}, std::size_t{1000}, std::size_t{70001}}) {
        for (const CudaCase& c : kCudaCases) {
          if (cuda_can(c, ranks)) {
            const CollectiveDesc desc = cuda_desc(c, ranks, n);
            CudaGroup group(ranks, desc, wire);
            expect_reference(group, desc, ranks, describe(c, ranks, n));
          }
        }
      }
    }
  }
}

TEST_F(CudaCollectiveTest, Every_peer_ends_with_the_reference_values) {
  const int ranks = std::min(cuda_device_count(), 8);
  if (ranks < 2) {
    GTEST_SKIP() << "needs two devices";
  }
  std::vector<int> devices(static_cast<std::size_t>(ranks));
  std::iota(devices.begin(), devices.end(), 0);
  for (const CudaCase& c : kCudaCases) {
    if (cuda_can(c, ranks)) {
      const CollectiveDesc desc = cuda_desc(c, ranks, 70001);
      CudaGroup group(devices, desc);
      expect_reference(group, desc, ranks, describe(c, ranks, 70001));
    }
  }
}

// Rank 1 of two is never launched.
TEST_F(CudaCollectiveTest, A_rank_that_does_not_arrive_ends_the_kernel_with_a_flag) {
  const CollectiveDesc desc = cuda_desc(kCudaCases[0], 2, 5000);
  std::vector<DeviceBuffer<std::uint8_t>> rooms;
  const auto room = [&](std::size_t bytes) {
    rooms.emplace_back(bytes);
    FT_CUDA_CHECK(cudaMemset(rooms.back().data(), 0, bytes));
    return rooms.back().data();
  };
  CudaLaunch launch;
  for (int rank = 0; rank < 2; ++rank) {
    CudaRank r;
    r.in = room(4 * desc.values);
    r.out = room(4 * desc.values);
    r.messages = room(cuda_message_bytes(desc, 2));
    r.halves = room(packed_bytes(desc.first, desc.values));
    r.sums = room(packed_bytes(desc.second, desc.values));
    r.arrivals = reinterpret_cast<std::uint32_t*>(room(4));
    launch.ranks.push_back(r);
  }
  launch.timeout_ns = 50'000'000;
  launch.blocks_per_rank = 4;
  auto* failed = reinterpret_cast<std::uint32_t*>(room(4));
  const auto begin = std::chrono::steady_clock::now();
  cuda_collective(launch, desc, failed, nullptr);
  FT_CUDA_CHECK(cudaDeviceSynchronize());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  std::uint32_t flag = 0;
  FT_CUDA_CHECK(cudaMemcpy(&flag, failed, sizeof(flag), cudaMemcpyDeviceToHost));
  EXPECT_EQ(flag, 1U);
}

// With one device a communicator of one rank: every operation copies its input.
TEST_F(CudaCollectiveTest, Nccl_runs_every_operation_with_one_rank) {
  std::unique_ptr<NcclLibrary> library;
  try {
    library = std::make_unique<NcclLibrary>();
  } catch (const KernelError& e) {
    GTEST_SKIP() << e.what();
  }
  constexpr std::size_t kCount = 4096;
  NcclCommunicator nccl(*library, NcclCommunicator::make_id(*library), 1, 0);
  const auto x = rank_values(0, kCount);
  DeviceBuffer<float> in(kCount);
  DeviceBuffer<float> out(kCount);
  in.upload(x.data(), kCount);
  using Call = void (NcclCommunicator::*)(const void*, void*, std::size_t, ValueType, void*);
  for (const Call call : {&NcclCommunicator::all_reduce, &NcclCommunicator::all_gather,
                          &NcclCommunicator::reduce_scatter, &NcclCommunicator::all_to_all}) {
    FT_CUDA_CHECK(cudaMemset(out.data(), 0xff, 4 * kCount));
    (nccl.*call)(in.data(), out.data(), kCount, ValueType::fp32, nullptr);
    FT_CUDA_CHECK(cudaDeviceSynchronize());
    std::vector<float> y(kCount);
    out.download(y.data(), kCount);
    EXPECT_EQ(y, x);
  }
}

}  // namespace
}  // namespace foretoken::kernels
