// foretoken compare, as a user meets it.
#include <cmath>

#include "tests/sim/cli/program.h"

namespace foretoken {
namespace {

const std::string kScenario = "compare scenarios/8xl40s-llama-70b.yaml --set workload.requests=40 ";
const std::string kWires =
    "--vary precision.all_reduce=bf16,int8,int6,int5,int4,int3/spike,int2/spike ";

class Compare : public Cli {
 protected:
  nlohmann::json compare(const std::string& arguments) const {
    const Outcome outcome = run(kScenario + arguments + " --json " + path("out.json"));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return nlohmann::json::parse(read(path("out.json")), nullptr, false);
  }
};

double value(const nlohmann::json& row, const char* measure) {
  return row["measures"][measure]["value"].get<double>();
}

TEST_F(Compare, Weights_times_wires_are_28_rows_each_with_its_intervals) {
  const auto json =
      compare("--vary precision.weights=bf16,fp8,int8,int4/g128 " + kWires + "--replications 2");
  ASSERT_EQ(json["rows"].size(), 28u);
  EXPECT_EQ(json["rows"][1]["values"]["precision.weights"], "bf16");
  EXPECT_EQ(json["rows"][1]["values"]["precision.all_reduce"], "int8");
  EXPECT_EQ(json["rows"][27]["values"]["precision.all_reduce"], "int2/spike");
  for (const auto& row : json["rows"]) {
    for (const char* measure :
         {"mean_ttft_ms", "mean_tpot_ms", "output_throughput", "request_goodput",
          "cost_per_million_output_tokens", "energy_j_per_output_token_at_power_limit",
          "gemm_snr_db", "all_reduce_snr_db", "all_reduce_plain_snr_db"}) {
      const auto& cell = row["measures"][measure];
      ASSERT_TRUE(cell.contains("low")) << measure;
      EXPECT_LE(cell["low"].get<double>(), cell["value"].get<double>()) << measure;
      EXPECT_GE(cell["high"].get<double>(), cell["value"].get<double>()) << measure;
    }
    EXPECT_GT(value(row, "memory_gb_per_gpu"), 5);
    EXPECT_GT(value(row, "largest_batch"), 100);
  }
}

TEST_F(Compare, Fewer_bits_are_less_exact_and_take_less_memory) {
  const auto json = compare(
      "--vary precision.weights=bf16,int8,int4/g128,int3/g128 "
      "--replications 0");
  const auto& rows = json["rows"];
  EXPECT_TRUE(rows[0]["measures"]["weights_snr_db"]["exact"].get<bool>());
  for (std::size_t i = 1; i < rows.size(); ++i) {
    EXPECT_LT(value(rows[i], "gemm_snr_db"), value(rows[i - 1], "gemm_snr_db"));
    EXPECT_LT(value(rows[i], "memory_gb_per_gpu"), value(rows[i - 1], "memory_gb_per_gpu"));
    EXPECT_GT(value(rows[i], "largest_batch"), value(rows[i - 1], "largest_batch"));
  }
  // What stands beside the int8 row: the family's published 8-bit weights.
  EXPECT_FALSE(rows[1]["published"].empty());
  EXPECT_TRUE(rows[0]["published"].empty());
  for (const auto& index : rows[1]["published"]) {
    const auto& row = json["published"][index.get<std::size_t>()];
    EXPECT_NE(row["formats"].get<std::string>().find("int8"), std::string::npos);
    EXPECT_FALSE(row["source"].get<std::string>().empty());
  }
}

TEST_F(Compare, The_best_is_marked_and_rows_that_overlap_it_are_ties) {
  const auto json = compare(kWires + "--replications 4 --no-error");
  const auto& rows = json["rows"];
  for (const char* measure : {"mean_ttft_ms", "mean_tpot_ms"}) {
    const nlohmann::json* best = nullptr;
    for (const auto& row : rows) {
      const auto& cell = row["measures"][measure];
      if (cell["standing"] == "best") {
        EXPECT_EQ(best, nullptr);
        best = &cell;
      }
    }
    ASSERT_NE(best, nullptr) << measure;
    for (const auto& row : rows) {
      const auto& cell = row["measures"][measure];
      EXPECT_GE(cell["value"].get<double>(), (*best)["value"].get<double>());
      const bool overlaps = cell["low"].get<double>() <= (*best)["high"].get<double>();
      const auto standing = cell["standing"].get<std::string>();
      EXPECT_EQ(overlaps, standing != "worse") << standing;
    }
  }
  EXPECT_TRUE(rows[0]["measures"]["gemm_snr_db"].is_null());
}

TEST_F(Compare, The_same_bytes_whatever_the_threads) {
  const std::string arguments = kWires + "--replications 2 ";
  EXPECT_EQ(run(kScenario + arguments + "--threads 1 --json " + path("a.json")).status, 0);
  EXPECT_EQ(run(kScenario + arguments + "--threads 3 --json " + path("b.json")).status, 0);
  EXPECT_EQ(read(path("a.json")), read(path("b.json")));
  EXPECT_FALSE(read(path("a.json")).empty());
}

// A row of the table is what `simulate` says with the same values.
TEST_F(Compare, A_row_is_what_simulate_predicts) {
  const auto json = compare("--vary precision.all_reduce=bf16,int4 --replications 2 --no-error");
  const auto alone = simulate(
      "scenarios/8xl40s-llama-70b.yaml --set workload.requests=40 --set "
      "precision.all_reduce=int4 --replications 2");
  for (const char* measure : {"mean_ttft_ms", "mean_tpot_ms", "output_throughput"}) {
    EXPECT_EQ(value(json["rows"][1], measure), alone[measure].get<double>());
    EXPECT_EQ(json["rows"][1]["measures"][measure]["high"], alone["intervals"][measure]["high"]);
  }
}

TEST_F(Compare, A_row_that_does_not_fit_stays_with_its_reason) {
  const auto json =
      compare("--vary parallel.tensor=1,8 --replications 0 --no-error --csv " + path("out.csv"));
  ASSERT_EQ(json["rows"].size(), 2u);
  EXPECT_NE(json["rows"][0]["reason"].get<std::string>().find("does not fit"), std::string::npos);
  EXPECT_TRUE(json["rows"][1]["reason"].is_null());
  const std::string csv = read(path("out.csv"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3);
  EXPECT_NE(csv.find("does not fit"), std::string::npos);
  const Outcome none = run(kScenario + "--vary parallel.tensor=1 --replications 0");
  EXPECT_EQ(none.status, 3);
  EXPECT_NE(none.out.find("does not fit"), std::string::npos);
}

TEST_F(Compare, Text_is_narrow_and_says_what_its_marks_mean) {
  const Outcome outcome = run(kScenario + kWires + "--replications 2 --no-error");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_LE(longest_line(outcome.out), 100u);
  EXPECT_NE(outcome.out.find("* best"), std::string::npos);
}

TEST_F(Compare, The_page_shows_speed_against_error) {
  EXPECT_EQ(run(kScenario + kWires + "--replications 0 --html " + path("out.html")).status, 0);
  const std::string page = read(path("out.html"));
  for (const std::string text : {"TTFT ms against all-reduce dB", "int2/spike", "GB/GPU"}) {
    EXPECT_NE(page.find(text), std::string::npos) << text;
  }
}

// Each with one line that names the key and the value.
TEST_F(Compare, Wrong_values_are_refused_before_anything_is_simulated) {
  for (const auto& [vary, message] : std::initializer_list<std::pair<std::string, std::string>>{
           {"precision.all_reduce=bf16,int9", "--vary precision.all_reduce=int9"},
           {"precision.all_reduc=int8", "did you mean \"all_reduce\"?"},
           {"workload.requests=10,-5", "--vary workload.requests=-5"},
           {"precision.all_reduce", "no key and values"},
           {"precision.all_reduce=", "an empty value"},
           {"precision.all_reduce=int8,int8", "int8 stands twice"},
           {"cluster=nowhere", "--vary cluster=nowhere"}}) {
    std::string arguments = kScenario;
    arguments.append("--vary ").append(vary);
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << vary;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "") << vary;
  }
  const Outcome twice =
      run(kScenario + "--vary engine.max_num_seqs=1 --vary engine.max_num_seqs=2");
  EXPECT_NE(twice.err.find("the key stands twice"), std::string::npos) << twice.err;
}

TEST_F(Compare, Errors_of_the_users_own_tensors_are_measured_or_refused) {
  const Outcome missing = run(kScenario + "--vary precision.all_reduce=int8 --activations no.npy");
  EXPECT_EQ(missing.status, 2);
  EXPECT_NE(missing.err.find("no.npy"), std::string::npos) << missing.err;
  const Outcome bad = run(kScenario + "--vary precision.all_reduce=int8 --accuracy " +
                          write("bad.yaml", "schema: 1\nrows:\n  - model: x\n"));
  EXPECT_EQ(bad.status, 2);
  EXPECT_NE(bad.err.find("bad.yaml:3"), std::string::npos) << bad.err;
}

}  // namespace
}  // namespace foretoken
