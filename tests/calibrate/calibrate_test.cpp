#include "calibrate/calibrate.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "calibrate/agreement.h"
#include "calibrate/bench/journal.h"
#include "calibrate/bench/machine.h"
#include "calibrate/fit/held_out.h"
#include "calibrate/self_test.h"
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
  // Names in the folder.
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

class CalibrateRun : public CalibrateTest {
 protected:
  // Host steps only: eight cases.
  CalibrateOptions options() const {
    CalibrateOptions o;
    o.out = (folder_ / "mine.yaml").string();
    o.suite.quick = true;
    o.suite.only = {"host"};
    o.budget = 1;
    return o;
  }
  std::string message(const CalibrateOptions& o) {
    try {
      run_calibrate(o, out_, progress_);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }
  std::ostringstream out_, progress_;
};

TEST_F(CalibrateRun, A_folder_that_does_not_exist_is_refused_before_measuring) {
  CalibrateOptions o = options();
  o.out = (folder_ / "absent" / "mine.yaml").string();
  const std::string refusal = message(o);
  EXPECT_NE(refusal.find("mine.yaml"), std::string::npos) << refusal;
  EXPECT_EQ(refusal.find('\n'), std::string::npos) << refusal;
  EXPECT_TRUE(out_.str().empty());
}

TEST_F(CalibrateRun, Bad_options_are_refused_in_one_line) {
  CalibrateOptions backend = options();
  backend.backend = "abacus";
  EXPECT_NE(message(backend).find("known: cpu, cuda"), std::string::npos);
  CalibrateOptions name = options();
  name.out = (folder_ / "profile.txt").string();
  EXPECT_NE(message(name).find("NAME.yaml"), std::string::npos);
  CalibrateOptions topology = options();
  topology.topology = "no-such-topology";
  EXPECT_NE(message(topology).find("no-such-topology"), std::string::npos);
  EXPECT_TRUE(files().empty());
}

TEST_F(CalibrateRun, An_interrupted_run_keeps_its_samples_writes_no_profile_and_goes_on) {
  if (this_machine().cores.size() < 2) {
    GTEST_SKIP() << "host steps need two cores";
  }
  std::atomic<bool> stop{true};
  CalibrateOptions o = options();
  o.stop = &stop;
  EXPECT_EQ(run_calibrate(o, out_, progress_), kInterrupted);
  EXPECT_EQ(files(), std::vector<std::string>{"mine.journal"});
  // As if three samples had been measured before.
  {
    const std::string fingerprint = this_machine().fingerprint();
    Journal journal((folder_ / "mine.journal").string(), fingerprint);
    for (const std::int64_t sequences : {1, 4, 16}) {
      for (const int pass : {0, 1, 2}) {  // as many as settle a case of two cores
        journal.append({"host.decode",
                        {sequences},
                        pass,
                        0.125 * static_cast<double>(sequences),
                        0.1,
                        1.0,
                        5,
                        1e-9});
      }
    }
  }
  stop = false;
  o.page = (folder_ / "page.html").string();
  o.benchmark_json = (folder_ / "bench.json").string();
  EXPECT_EQ(run_calibrate(o, out_, progress_), 0);
  EXPECT_NE(out_.str().find("goes on after 9 measurements"), std::string::npos) << out_.str();
  const Profile profile = config::read_profile(o.out);
  EXPECT_EQ(profile.samples.at("host.decode").samples.at(0).seconds, 0.125);  // not measured again
  EXPECT_FALSE(fs::exists(folder_ / "mine.journal"));
  EXPECT_TRUE(fs::exists(o.page));
  EXPECT_TRUE(fs::exists(o.benchmark_json));
}

TEST_F(CalibrateRun, Part_of_a_calibration_leaves_the_rest_of_the_profile) {
  if (this_machine().cores.size() < 2) {
    GTEST_SKIP() << "host steps need two cores";
  }
  Profile old = small_profile(10);
  old.device = this_machine().cpu + ", one core";
  const CalibrateOptions o = options();
  save_profile_atomically(old, o.out);
  EXPECT_EQ(run_calibrate(o, out_, progress_), 0);
  const Profile both = config::read_profile(o.out);
  EXPECT_EQ(both.samples.at("gemm.bf16").samples.size(), 10u);
  EXPECT_TRUE(both.samples.contains("host.decode"));
  EXPECT_GT(both.at("host.step").value, 0);
  old.device = "another machine";
  save_profile_atomically(old, o.out);
  EXPECT_NE(message(o).find("another --out"), std::string::npos);
}

TEST_F(CalibrateRun, A_full_disk_ends_the_run_and_keeps_the_journal) {
  if (this_machine().cores.size() < 2) {
    GTEST_SKIP() << "host steps need two cores";
  }
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit tight{700, old.rlim_max};  // the header and some lines
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &tight);
  const std::string refusal = message(options());
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(refusal.find("make room"), std::string::npos) << refusal;
  EXPECT_EQ(files(), std::vector<std::string>{"mine.journal"});
  const Journal kept((folder_ / "mine.journal").string(), this_machine().fingerprint());
  EXPECT_GE(kept.results().size(), 1u);
}

TEST_F(CalibrateRun, The_topologies_of_two_cores_have_two_devices_and_a_link) {
  for (const char* name : {"cpu-2core", "cpu-2core-tcp"}) {
    const Topology topology = pair_topology(name);
    EXPECT_EQ(topology.gpu_count(), 2) << name;
    const LinkClass expected =
        name == std::string("cpu-2core") ? LinkClass::nvlink : LinkClass::network;
    EXPECT_EQ(topology.route_class(0, 1), expected) << name;
  }
}

std::vector<FamilyReport> reports() {
  FamilyReport good{"gemm.bf16", 10, {}, {}}, poor{"codec.<x>", 10, {}, {}};
  for (int i = 1; i <= 10; ++i) {
    good.trials.push_back({{i, 64, 64}, 1e-6 * i, 1.02e-6 * i, 0.05});
    poor.trials.push_back({{i}, 1e-6 * i, 1.5e-6 * i, 0.05});
  }
  good.held_out = summarise(good.trials);
  poor.held_out = summarise(poor.trials);
  return {good, poor};
}

TEST(SelfTest, Verdicts_follow_error_and_coverage) {
  EXPECT_EQ(verdict(reports()[0].held_out), "good");
  EXPECT_EQ(verdict(reports()[1].held_out), "poor");
  HeldOut narrow = reports()[0].held_out;
  narrow.coverage = 0.5;
  EXPECT_EQ(verdict(narrow), "fair");
  narrow.samples = 2;
  EXPECT_EQ(verdict(narrow), "few");
}

TEST(SelfTest, The_table_has_a_row_a_family) {
  const std::string text = describe(reports());
  EXPECT_NE(text.find("gemm.bf16"), std::string::npos);
  EXPECT_NE(text.find("50.0 %"), std::string::npos) << text;
}

TEST(SelfTest, Columns_stay_apart_when_errors_are_huge) {
  std::vector<FamilyReport> families = reports();
  families[0].held_out.samples = 11;
  families[0].held_out.mean = 76.39;
  families[0].held_out.p90 = 388.49;
  const std::string text = describe(families);
  EXPECT_NE(text.find(" 11  7639.0 % 38849.0 %"), std::string::npos) << text;
}

TEST(SelfTest, The_page_stands_alone_and_has_a_plot_a_family) {
  Profile profile;
  profile.device = "A & B";
  const std::string page = self_test_page(profile, reports());
  EXPECT_EQ(page.find("http"), std::string::npos);  // nothing is fetched
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_NE(page.find("A &amp; B"), std::string::npos);
  EXPECT_NE(page.find("codec.&lt;x&gt;"), std::string::npos);
  std::size_t plots = 0, points = 0;
  for (auto at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) {
    ++plots;
  }
  for (auto at = page.find("<circle"); at != std::string::npos; at = page.find("<circle", at + 1)) {
    ++points;
  }
  EXPECT_EQ(plots, 2u);
  EXPECT_EQ(points, 20u);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(SelfTest, Google_benchmarks_json_has_every_pass_and_its_aggregates) {
  RunResult run;
  run.cases.push_back(
      {"gemm.bf16", {16, 64, 64}, 2e-6, 1e-6, 4e-6, 3, 3, true, {1e-6, 2e-6, 3e-6}});
  const auto json = nlohmann::json::parse(benchmark_json(run, {{"fingerprint", "here"}}));
  EXPECT_EQ(json["context"]["fingerprint"], "here");
  ASSERT_EQ(json["benchmarks"].size(), 6u);  // three passes, mean, median, stddev
  for (const auto& row : json["benchmarks"]) {
    EXPECT_EQ(row["run_name"], "gemm.bf16/16x64x64/manual_time");
    EXPECT_EQ(row["time_unit"], "ns");
    EXPECT_TRUE(row["real_time"].is_number());
  }
  EXPECT_EQ(json["benchmarks"][0]["run_type"], "iteration");
  EXPECT_EQ(json["benchmarks"][4]["aggregate_name"], "median");
  EXPECT_NEAR(json["benchmarks"][4]["real_time"], 2000, 1e-6);
  EXPECT_NEAR(json["benchmarks"][5]["real_time"], 1000, 1e-6);  // sd of 1, 2, 3 us
}

Profile profile_of(double factor, double sd) {
  Profile profile;
  profile.device = "Test CPU";
  profile.file = "test.yaml";
  profile.parameters["elementwise.sd_family"] = {sd, Provenance::measured, "test"};
  for (const std::int64_t bytes : {1000, 10'000, 100'000}) {
    profile.samples["elementwise.norm"].samples.push_back(
        {{bytes}, factor * static_cast<double>(bytes) / 1e9});
  }
  return profile;
}

TEST(Agreement, Holds_where_the_difference_is_within_both_intervals) {
  const auto rows = agreement(profile_of(1, 0.1), profile_of(1.1, 0.2));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].table, "elementwise.norm");
  EXPECT_EQ(rows[0].calls, 3);
  EXPECT_NEAR(rows[0].median, 0.1, 1e-9);
  EXPECT_NEAR(rows[0].half_width, std::expm1(0.1 * 1.6448536269514722), 1e-9);
  EXPECT_EQ(rows[0].within, 1);
  EXPECT_EQ(agreement(profile_of(1, 0.01), profile_of(1.1, 0.2))[0].within, 0);
}

TEST(Agreement, Is_asked_only_of_one_device_and_common_tables) {
  Profile other = profile_of(1, 0.1);
  other.device = "Another CPU";
  EXPECT_THROW(agreement(profile_of(1, 0.1), other), InputError);
  Profile bare = profile_of(1, 0.1);
  bare.samples.clear();
  EXPECT_THROW(agreement(profile_of(1, 0.1), bare), InputError);
}

}  // namespace
}  // namespace foretoken::calibrate
