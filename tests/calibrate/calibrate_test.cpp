#include "calibrate/calibrate.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "calibrate/cpu_suite.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

namespace fs = std::filesystem;

class CalibrateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fs::path("foretoken_calibrate_test_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  fs::path folder_;
};

Profile small_profile(int rows) {
  Profile profile;
  profile.name = "mine";
  profile.parameters["device.memory"] = {8e9, Provenance::measured, "test"};
  SampleTable& table = profile.samples["gemm.bf16"];
  table.source = "test";
  for (int i = 1; i <= rows; ++i) {
    table.samples.push_back({{i, 64, 64}, 1e-6 * i});
  }
  return profile;
}

TEST_F(CalibrateTest, A_saved_profile_reads_back_and_leaves_nothing_else) {
  const std::string path = (folder_ / "mine.yaml").string();
  save_profile_atomically(small_profile(10), path);
  EXPECT_EQ(config::read_profile(path).samples.at("gemm.bf16").samples.size(), 10u);
  EXPECT_EQ(files().size(), 2u);  // mine.yaml and mine.gemm.csv
}

TEST_F(CalibrateTest, A_disk_that_fills_up_leaves_the_old_profile_as_it_was) {
  const std::string path = (folder_ / "mine.yaml").string();
  save_profile_atomically(small_profile(10), path);
  // A limit on the size of files stands for the full disk: writes fail half way.
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit tight{512, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &tight);
  EXPECT_THROW(save_profile_atomically(small_profile(5000), path), InputError);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(config::read_profile(path).samples.at("gemm.bf16").samples.size(), 10u);
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(CalibrateTest, A_folder_that_does_not_exist_is_refused_before_measuring) {
  CalibrateOptions options;
  options.out = (folder_ / "absent" / "mine.yaml").string();
  std::ostringstream out, progress;
  try {
    run_calibrate(options, out, progress);
    FAIL();
  } catch (const InputError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("mine.yaml"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_TRUE(out.str().empty());
}

TEST_F(CalibrateTest, Bad_options_are_refused_in_one_line) {
  std::ostringstream out, progress;
  CalibrateOptions backend;
  backend.backend = "abacus";
  EXPECT_THROW(run_calibrate(backend, out, progress), InputError);
  CalibrateOptions name;
  name.out = (folder_ / "profile.txt").string();
  EXPECT_THROW(run_calibrate(name, out, progress), InputError);
  CalibrateOptions topology;
  topology.out = (folder_ / "mine.yaml").string();
  topology.topology = "no-such-topology";
  EXPECT_THROW(run_calibrate(topology, out, progress), InputError);
  EXPECT_TRUE(files().empty());
}

TEST_F(CalibrateTest, The_link_of_the_shipped_cpu_topology_is_found) {
  const PairLink link = pair_link("cpu-2core");
  EXPECT_GT(link.bandwidth, 1e9);
  EXPECT_LT(link.bandwidth, 1e12);
  EXPECT_GT(link.latency, 0);
}

TEST(CpuSuite, Shapes_cover_the_shipped_small_models_and_do_not_repeat) {
  for (const bool quick : {true, false}) {
    std::set<std::pair<std::int64_t, std::int64_t>> seen;
    for (const GemmShape& shape : gemm_shapes(quick)) {
      EXPECT_TRUE(seen.insert({shape.n, shape.k}).second);
      EXPECT_GT(shape.n, 0);
      EXPECT_GT(shape.k, 0);
    }
    // tiny-llama-125m at tensor 2: QKV 3 x 768 / 2 by 768, down 768 by 2048 / 2, lm_head 32000 / 2.
    EXPECT_TRUE(seen.contains({1152, 768}));
    EXPECT_TRUE(seen.contains({768, 1024}));
    EXPECT_TRUE(seen.contains({16000, 768}));
    // llama-1b at tensor 1: gate and up together 2 x 8192.
    EXPECT_TRUE(seen.contains({16384, 2048}));
  }
}

}  // namespace
}  // namespace foretoken::calibrate
