// foretoken collective, as a user meets it.
#include "tests/sim/cli/program.h"

namespace foretoken {
namespace {

// Both streams in one.
Outcome run(const std::string& arguments) {
  return run_shell(std::string(FORETOKEN_PROGRAM) + " collective " + arguments + " 2>&1");
}

TEST(CollectiveCommand, Json_has_a_row_per_size_wire_and_algorithm) {
  const Outcome outcome =
      run("--topology hgx-h100-8 --ranks 4 --sizes 1MiB..4MiB --wire bf16,int8 --algorithm "
          "ring,two_step --json -");
  ASSERT_EQ(outcome.status, 0) << outcome.out;
  const auto json = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(json["rows"].size(), 3u * 2 * 2);
  for (const auto& row : json["rows"]) {
    const double seconds = row["time_us"].get<double>() * 1e-6;
    const double size = row["size_bytes"].get<double>();
    EXPECT_NEAR(row["algbw_gb_per_s"].get<double>(), size / seconds / 1e9, 1e-6);
    // nccl-tests: all-reduce of 4 ranks, 2 x 3 / 4.
    EXPECT_NEAR(row["busbw_gb_per_s"].get<double>(), 1.5 * size / seconds / 1e9, 1e-6);
    EXPECT_NEAR(row["codec_us"].get<double>() + row["wire_us"].get<double>() +
                    row["latency_us"].get<double>(),
                row["time_us"].get<double>(), 1e-6);
    EXPECT_EQ(row["ranks"], 4);
  }
}

TEST(CollectiveCommand, The_table_fits_100_columns_and_states_crossovers) {
  const Outcome outcome =
      run("--topology 8xl40s-pcie --sizes 4KiB..64MiB --wire bf16,int4/g128/spike/log8");
  ASSERT_EQ(outcome.status, 0) << outcome.out;
  std::size_t begin = 0;
  for (std::size_t end = outcome.out.find('\n'); end != std::string::npos;
       end = outcome.out.find('\n', begin)) {
    EXPECT_LE(end - begin, 100u) << outcome.out.substr(begin, end - begin);
    begin = end + 1;
  }
  EXPECT_NE(outcome.out.find(" is faster than bf16 auto "), std::string::npos) << outcome.out;
}

TEST(CollectiveCommand, Wrong_input_exits_2_with_a_remedy) {
  const struct {
    const char* arguments;
    const char* message;
  } cases[] = {
      {"--topology hgx-h100-9", "hgx-h100-8"},
      {"--topology hgx-h100-8 --wire int9", "try int8"},
      {"--topology hgx-h100-8 --wire int1", "try int2"},
      {"--topology hgx-h100-8 --ranks 1", "2 to 8"},
      {"--topology hgx-h100-8 --gpus 0,0", "twice"},
      {"--topology hgx-h100-8 --gpus 3 --algorithm ring", "two ranks or more"},
      {"--topology hgx-h100-8 --wire int4/g48", "int4/g48"},
      {"--topology tests/sim/cli/bad_topology/disconnected.yaml",
       "disconnected.yaml:6:5: links: there is no"},
      {"--topology tests/sim/cli/bad_topology/zero_bandwidth.yaml", "zero_bandwidth.yaml:10:"},
      {"--topology tests/sim/cli/bad_topology/duplicate_device.yaml",
       "duplicate_device.yaml:7:5: duplicate"},
      {"--topology hgx-h100-8 --gpus 0,8", "GPUs 0 to 7"},
      {"--topology hgx-h100-8 --op all_reduc", "all_reduce"},
      {"--topology hgx-h100-8 --algorithm rign", "ring"},
      {"--topology hgx-h100-8 --algorithm hierarchical", "there is no hierarchy"},
      {"--topology 8xl40s-pcie --gpus 0,1,2,4 --algorithm hierarchical", "equal groups"},
      {"--topology hgx-h100-8 --sizes 64", "needs a unit"},
      {"--topology hgx-h100-8 --sizes 4MiB..1MiB", "backwards"},
      {"--topology hgx-h100-8 --profile h100-smx", "h100-sxm"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_NE(outcome.out.find(message), std::string::npos) << arguments << ": " << outcome.out;
    EXPECT_EQ(outcome.out.find('\n'), outcome.out.size() - 1) << outcome.out;
  }
}

}  // namespace
}  // namespace foretoken
