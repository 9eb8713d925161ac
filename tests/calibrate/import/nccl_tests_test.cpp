#include "calibrate/import/nccl_tests.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "calibrate/import/table_commands.h"
#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

namespace fs = std::filesystem;

const std::string kHead =
    "# nThread 1 nGpus 4 minBytes 1024 maxBytes 67108864 step: 2(factor) warmup iters: 5\n"
    "#\n"
    "# Using devices\n"
    "#  Rank  0 Group  0 Pid   1000 on host device  0 [0x07] NVIDIA H100 80GB HBM3\n"
    "#  Rank  1 Group  0 Pid   1000 on host device  1 [0x0a] NVIDIA H100 80GB HBM3\n"
    "#  Rank  2 Group  0 Pid   1000 on host device  2 [0x44] NVIDIA H100 80GB HBM3\n"
    "#  Rank  3 Group  0 Pid   1000 on host device  3 [0x4a] NVIDIA H100 80GB HBM3\n"
    "#\n"
    "#                                            out-of-place                  in-place\n"
    "#   size    count   type  redop  root   time  algbw  busbw #wrong   time  algbw  busbw "
    "#wrong\n"
    "#    (B) (elements)                      (us) (GB/s) (GB/s)          (us) (GB/s) (GB/s)\n";

// 1 MiB in 50 us: 20.97 GB/s; all-reduce on 4 ranks: x 1.5 = 31.46.
const std::string kRow =
    " 1048576  524288   half    sum    -1   50.00  20.97  31.46      0   49.00  21.40  32.10  0\n";

class NcclTestsTest : public ::testing::Test {
 protected:
  fs::path path_ = fs::temp_directory_path() / ("nccl_tests_" + std::to_string(getpid()) + ".txt");
  void TearDown() override { fs::remove(path_); }
  std::map<std::string, SampleTable> read(const std::string& text,
                                          const std::string& operation = "all_reduce") {
    std::ofstream(path_) << text;
    return read_nccl_tests(path_.string(), operation);
  }
  std::string refusal(const std::string& text, const std::string& operation = "all_reduce") {
    try {
      read(text, operation);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(NcclTestsTest, Rows_become_samples_of_ranks_bytes_and_seconds) {
  const auto tables = read(kHead + kRow + "# Avg bus bandwidth    : 31.4\n");
  ASSERT_EQ(tables.size(), 1u);
  const SampleTable& table = tables.at("all_reduce.fp16");
  ASSERT_EQ(table.samples.size(), 1u);
  EXPECT_EQ(table.samples[0].shape, (std::vector<std::int64_t>{4, 1048576}));
  EXPECT_DOUBLE_EQ(table.samples[0].seconds, 50e-6);
  EXPECT_EQ(table.provenance, Provenance::imported);
  EXPECT_NE(table.source.find("NVIDIA H100 80GB HBM3"), std::string::npos);
}

TEST_F(NcclTestsTest, Counts_per_rank_are_accepted_for_all_gather) {
  // 262,144 halves on each of 4 ranks make 2 MiB; 50 us: 41.94, x 3/4 = 31.46 GB/s.
  const auto tables =
      read(kHead + " 2097152  262144  half none -1  50.00  41.94  31.46  0  50.0 41.94 31.46 0\n",
           "all_gather");
  EXPECT_EQ(tables.at("all_gather.fp16").samples[0].shape[1], 2097152);
}

TEST_F(NcclTestsTest, Numbers_that_contradict_each_other_are_refused_with_their_line) {
  // Another operation has another bus factor.
  EXPECT_NE(refusal(kHead + kRow, "all_gather").find(":12: busbw"), std::string::npos);
  // A time in milliseconds.
  EXPECT_NE(
      refusal(kHead + " 1048576 524288 half sum -1 0.05 20.97 31.46 0 0 0 0 0\n").find("in us"),
      std::string::npos);
  // A size that counts elements.
  EXPECT_NE(refusal(kHead + " 524288 524288 half sum -1 50 10.49 15.73 0 0 0 0 0\n").find("count"),
            std::string::npos);
  EXPECT_NE(refusal(kHead + " 1048576 524288 half sum -1 50.00 20.97 31.46 7 0 0 0 0\n")
                .find("7 wrong values"),
            std::string::npos);
  EXPECT_NE(refusal(kHead + " 1048576 524288 int9 sum -1 50.00 20.97 31.46 0 0 0 0 0\n")
                .find("unknown type"),
            std::string::npos);
}

TEST_F(NcclTestsTest, Runs_of_several_files_join_one_table_of_a_profile) {
  std::ofstream(path_) << kHead + kRow;
  const Profile profile = import_nccl_tables({path_.string(), path_.string()}, "all_reduce");
  EXPECT_EQ(profile.samples.at("all_reduce.fp16").samples.size(), 2u);
}

TEST_F(NcclTestsTest, What_is_no_such_output_is_refused) {
  EXPECT_NE(refusal("hello\n").find("row before"), std::string::npos);
  EXPECT_NE(refusal("").find("no rows"), std::string::npos);
  EXPECT_NE(refusal(kHead + kRow, "all_hands").find("unknown collective"), std::string::npos);
}

}  // namespace
}  // namespace foretoken::importer
