#include "kernels/collective/nccl.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/dynamic_library.h"
#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

// The process shares one copy of the fake; its log grows from test to test.
class NcclTest : public testing::Test {
 protected:
  NcclTest() : fake_("the fake NCCL", {FAKE_NCCL}), library_(FAKE_NCCL), begin_(log().size()) {}

  std::string log() const { return fake_.symbol<const char*()>("fake_nccl_log")(); }
  std::string calls() const { return log().substr(begin_); }

  DynamicLibrary fake_;
  NcclLibrary library_;
  std::size_t begin_;
};

TEST_F(NcclTest, A_communicator_of_several_ranks_makes_the_calls_it_should) {
  EXPECT_EQ(library_.version(), 22809);
  {
    NcclCommunicator comm(library_, NcclCommunicator::make_id(library_), 4, 2);
    comm.all_reduce(nullptr, nullptr, 1001, ValueType::bf16, nullptr);
    comm.all_gather(nullptr, nullptr, 1000, ValueType::fp32, nullptr);
    comm.reduce_scatter(nullptr, nullptr, 1000, ValueType::fp16, nullptr);
  }
  EXPECT_EQ(calls(),
            "init 2 of 4 id uu\n"
            "all_reduce 1001 type 9 op 0\n"
            "all_gather 250 type 7\n"
            "reduce_scatter 250 type 6 op 0\n"
            "destroy\n");
}

TEST_F(NcclTest, All_to_all_is_one_group_of_sends_and_receives) {
  const std::vector<std::uint8_t> in{10, 0, 0, 0, 20, 0, 0, 0};  // two bf16 a peer
  std::vector<std::uint8_t> out(8);
  NcclCommunicator comm(library_, NcclCommunicator::make_id(library_), 2, 0);
  comm.all_to_all(in.data(), out.data(), 4, ValueType::bf16, nullptr);
  EXPECT_EQ(calls(),
            "init 0 of 2 id uu\n"
            "group {\n"
            "send 2 type 9 to 0 first 10\n"
            "receive 2 type 9 from 0\n"
            "send 2 type 9 to 1 first 20\n"
            "receive 2 type 9 from 1\n"
            "}\n");
}

TEST_F(NcclTest, A_failing_call_names_itself_and_the_reason) {
  NcclCommunicator comm(library_, NcclCommunicator::make_id(library_), 2, 0);
  fake_.symbol<void(int)>("fake_nccl_fail")(2);
  try {
    comm.all_reduce(nullptr, nullptr, 1, ValueType::fp32, nullptr);
    ADD_FAILURE();
  } catch (const KernelError& e) {
    EXPECT_STREQ(e.what(), "ncclAllReduce: unhandled system error");
  }
  fake_.symbol<void(int)>("fake_nccl_fail")(0);
  EXPECT_THROW(comm.all_gather(nullptr, nullptr, 3, ValueType::fp32, nullptr), KernelError);
}

TEST(NcclMissing, A_missing_library_gives_one_plain_line) {
  try {
    const NcclLibrary library("libno-such-nccl.so.2");
    FAIL();
  } catch (const KernelError& e) {
    EXPECT_STREQ(e.what(),
                 "NCCL is not available: none of libno-such-nccl.so.2 could be loaded (install it "
                 "or set LD_LIBRARY_PATH)");
  }
}

}  // namespace
}  // namespace foretoken::kernels
