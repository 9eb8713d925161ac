#include "calibrate/bench/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

namespace fs = std::filesystem;

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = fs::path(::testing::TempDir()) /
            (std::string("journal_") + info->name() + std::to_string(getpid()));
  }
  void TearDown() override { fs::remove(path_); }

  static PassResult pass(int number) {
    return {"gemm.bf16", {16, 768, number + 1}, number, 1.5e-5 * (number + 1), 1e-5, 2e-5, 7, 4e-5};
  }
  void write(int count) {
    Journal journal(path_.string(), "here");
    for (int i = 0; i < count; ++i) {
      journal.append(pass(i));
    }
  }
  void append_text(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  std::string refusal(const std::string& fingerprint = "here") {
    try {
      Journal journal(path_.string(), fingerprint);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }
  fs::path path_;
};

TEST_F(JournalTest, What_was_appended_is_read_back_by_the_next_run) {
  write(20);
  const Journal again(path_.string(), "here");
  ASSERT_EQ(again.results().size(), 20u);
  for (int i = 0; i < 20; ++i) {
    const PassResult& read = again.results()[static_cast<std::size_t>(i)];
    EXPECT_EQ(read.family, "gemm.bf16");
    EXPECT_EQ(read.shape, pass(i).shape);
    EXPECT_EQ(read.pass, i);
    EXPECT_EQ(read.seconds, pass(i).seconds);  // to the bit
    EXPECT_EQ(read.samples, 7);
  }
}

TEST_F(JournalTest, A_line_that_a_killed_run_left_unfinished_is_cut_off) {
  write(3);
  append_text("gemm.bf16,16x7");
  {
    Journal journal(path_.string(), "here");
    EXPECT_EQ(journal.results().size(), 3u);
    journal.append(pass(3));
  }
  EXPECT_EQ(Journal(path_.string(), "here").results().size(), 4u);
}

TEST_F(JournalTest, A_disk_that_fills_up_keeps_every_finished_sample) {
  write(5);
  const auto size = fs::file_size(path_);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit tight{size + 30, old.rlim_max};  // less than a line
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &tight);
  std::string message;
  {
    Journal journal(path_.string(), "here");
    try {
      journal.append(pass(5));
    } catch (const InputError& error) {
      message = error.what();
    }
  }
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("the 5 measurements so far are kept"), std::string::npos) << message;
  EXPECT_EQ(fs::file_size(path_), size);
  EXPECT_EQ(Journal(path_.string(), "here").results().size(), 5u);
}

TEST_F(JournalTest, Another_machine_or_build_does_not_go_on_with_it) {
  write(2);
  const std::string message = refusal("there");
  EXPECT_NE(message.find(":2"), std::string::npos) << message;
  EXPECT_NE(message.find("--restart"), std::string::npos) << message;
}

TEST_F(JournalTest, Two_runs_do_not_write_at_once) {
  const Journal first(path_.string(), "here");
  EXPECT_NE(refusal().find("another calibration"), std::string::npos);
}

TEST_F(JournalTest, Lines_that_no_run_has_written_are_refused_with_their_number) {
  for (const char* line :
       {"gemm.bf16,16x768x768,0,nan,1e-5,1e-5,7,1e-5",
        "gemm.bf16,16x768x768,0,-1e-5,1e-5,1e-5,7,1e-5",
        "gemm.bf16,16x768x768,0,0,1e-5,1e-5,7,1e-5", "gemm.bf16,16x768x768,0,5us,1e-5,1e-5,7,1e-5",
        "gemm.bf16,axb,0,1e-5,1e-5,1e-5,7,1e-5", "gemm.bf16,16,0,1e-5",
        ",16,0,1e-5,1e-5,1e-5,7,1e-5", "gemm.bf16,16,0,1e-5,1e-5,1e-5,0,1e-5"}) {
    write(1);
    append_text(std::string(line) + "\n");
    const std::string message = refusal();
    EXPECT_NE(message.find(":5"), std::string::npos) << line << ": " << message;
    EXPECT_NE(message.find("remove the line"), std::string::npos) << message;
    fs::remove(path_);
  }
  append_text("something else\n");
  EXPECT_NE(refusal().find(":1"), std::string::npos);
}

TEST_F(JournalTest, A_folder_that_cannot_be_written_is_refused) {
  path_ = path_ / "absent" / "x.journal";
  EXPECT_NE(refusal().find("--out"), std::string::npos);
}

}  // namespace
}  // namespace foretoken::calibrate
