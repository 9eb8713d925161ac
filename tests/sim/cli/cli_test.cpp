// The program as a user meets it: exit status, messages, files.
#include "tests/sim/cli/program.h"

namespace foretoken {
namespace {

// Each file in bad/ states the message it must give in its first line.
TEST_F(Cli, Every_bad_scenario_gives_one_line_and_status_2) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator("tests/sim/cli/bad")) {
    if (entry.path().extension() != ".yaml") {
      continue;
    }
    ++files;
    SCOPED_TRACE(entry.path().string());
    std::ifstream stream(entry.path());
    std::string expected;
    std::getline(stream, expected);
    ASSERT_EQ(expected.rfind("# expect: ", 0), 0U);
    const Outcome outcome = run("simulate " + entry.path().string());
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.err.find(expected.substr(10)), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_GE(files, 15);
}

TEST_F(Cli, A_missing_file_a_wrong_option_and_a_misspelt_command_give_status_2) {
  for (const std::string arguments :
       {"simulate nowhere.yaml", "simulate scenarios", "simulate", "",
        "simulate scenarios/quickstart.yaml --replications -1",
        "simulate scenarios/quickstart.yaml --set nonsense",
        "simulate scenarios/quickstart.yaml --set engine.max_num_seq=3",
        "topology show hgx-h100"}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  EXPECT_NE(run("simulat x").err.find("did you mean \"simulate\""), std::string::npos);
  EXPECT_NE(run("topology show hgx-h100").err.find("did you mean \"hgx-h100-8\""),
            std::string::npos);
}

TEST_F(Cli, The_quickstart_runs_as_shipped_and_prints_one_narrow_table) {
  const Outcome outcome = run("simulate scenarios/quickstart.yaml --json " + path("out.json"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_LE(longest_line(outcome.out), 100U);
  EXPECT_NE(outcome.out.find("Provenance of step time: 100.0 % measured"), std::string::npos);
  EXPECT_NE(outcome.out.find("was measured on another machine"), std::string::npos);
  const auto json = nlohmann::json::parse(read(path("out.json")));
  for (const std::string key :
       {"completed", "request_throughput", "output_throughput", "total_token_throughput",
        "intervals", "provenance", "schema", "version", "seed"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const std::string metric : {"ttft", "tpot", "itl", "e2el"}) {
    for (const std::string statistic : {"mean_", "median_", "p99_"}) {
      const std::string key = statistic + metric + "_ms";
      ASSERT_TRUE(json.contains(key)) << key;
      EXPECT_GT(json[key].get<double>(), 0) << key;
      const auto& interval = json["intervals"][key];
      EXPECT_LE(interval["low"].get<double>(), json[key].get<double>()) << key;
      EXPECT_GE(interval["high"].get<double>(), json[key].get<double>()) << key;
    }
  }
  double shares = 0;
  for (const auto& [name, share] : json["provenance"].items()) {
    shares += share.get<double>();
  }
  EXPECT_NEAR(shares, 1, 1e-9);
  // The shipped profile was measured: so is most of the step time.
  EXPECT_GE(json["provenance"]["measured"].get<double>(), 0.7);
}

TEST_F(Cli, The_same_seed_gives_the_same_bytes_whatever_the_threads) {
  const std::string scenario = "simulate scenarios/quickstart.yaml --replications 4 ";
  EXPECT_EQ(run(scenario + "--threads 1 --json " + path("a.json")).status, 0);
  EXPECT_EQ(run(scenario + "--threads 3 --json " + path("b.json")).status, 0);
  EXPECT_EQ(run(scenario + "--seed 2 --json " + path("c.json")).status, 0);
  EXPECT_EQ(read(path("a.json")), read(path("b.json")));
  EXPECT_NE(read(path("a.json")), read(path("c.json")));
}

// The same bytes from every compiler, build type and number of threads. When a change is meant,
// write the files anew: foretoken simulate tests/golden/scenario.yaml --replications 4 --json
// tests/golden/scenario.json --csv tests/golden/scenario.csv
TEST_F(Cli, The_golden_run_gives_the_recorded_bytes) {
  const Outcome outcome = run("simulate tests/golden/scenario.yaml --replications 4 --json " +
                              path("out.json") + " --csv " + path("out.csv"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(read(path("out.json")), read("tests/golden/scenario.json"));
  EXPECT_EQ(read(path("out.csv")), read("tests/golden/scenario.csv"));
}

TEST_F(Cli, Exact_and_remembering_runs_write_the_same_bytes) {
  const std::string scenario =
      "simulate scenarios/quickstart.yaml --set workload.requests=30 --replications 2 ";
  EXPECT_EQ(run(scenario + "--json " + path("a.json")).status, 0);
  EXPECT_EQ(run(scenario + "--exact --json " + path("b.json")).status, 0);
  EXPECT_EQ(read(path("a.json")), read(path("b.json")));
}

TEST_F(Cli, The_csv_has_a_line_per_request_and_its_means_are_those_of_the_json) {
  const auto json =
      simulate("scenarios/quickstart.yaml --replications 0 --set workload.warmup=0 --csv " +
               path("out.csv"));
  std::istringstream lines(read(path("out.csv")));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "request,arrival_s,input_tokens,output_tokens,replica,ttft_ms,tpot_ms,e2el_ms");
  double ttft = 0;
  int count = 0;
  while (std::getline(lines, line)) {
    std::vector<std::string> cells;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, ',');) {
      cells.push_back(cell);
    }
    ASSERT_EQ(cells.size(), 8U);
    ttft += std::stod(cells[5]);
    ++count;
  }
  EXPECT_EQ(count, json["completed"].get<int>());
  EXPECT_NEAR(ttft / count, json["mean_ttft_ms"].get<double>(), 1e-3);
}

TEST_F(Cli, Standard_output_carries_only_the_document_asked_for) {
  const Outcome outcome = run("simulate scenarios/quickstart.yaml --replications 0 --json -");
  EXPECT_TRUE(nlohmann::json::accept(outcome.out));
}

TEST_F(Cli, An_output_that_cannot_be_written_gives_status_2_and_leaves_no_file) {
  const Outcome outcome =
      run("simulate scenarios/quickstart.yaml --replications 0 --json " + path("no/where.json"));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("cannot write this file"), std::string::npos);
  const Outcome full = run("simulate scenarios/quickstart.yaml --replications 0 --json /dev/full");
  EXPECT_EQ(full.status, 2);
}

TEST_F(Cli, Explain_names_terms_and_their_provenance) {
  const Outcome outcome = run("explain scenarios/quickstart.yaml --json " + path("out.json"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_LE(longest_line(outcome.out), 100U);
  const auto json = nlohmann::json::parse(read(path("out.json")));
  double sum = 0;
  for (const auto& term : json["prefill"]["terms"]) {
    sum += term["ms"].get<double>();
  }
  EXPECT_NEAR(sum, json["prefill"]["total_ms"].get<double>(), 1e-6 * sum);
}

TEST_F(Cli, Explain_counts_the_host_only_where_the_gpus_wait_for_it) {
  const auto total = [&](const std::string& part, const std::string& overlap) {
    const Outcome outcome =
        run("explain scenarios/quickstart.yaml --set engine.host_step=1ms --set "
            "engine.host_overlap=" +
            overlap + " --json " + path("out.json"));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return nlohmann::json::parse(read(path("out.json")))[part]["total_ms"].get<double>();
  };
  // A millisecond is less than either step takes.
  EXPECT_NEAR(total("decode", "none") - total("decode", "decode"), 1, 0.1);
  EXPECT_NEAR(total("prefill", "none"), total("prefill", "decode"), 1e-9);
  EXPECT_NEAR(total("prefill", "none") - total("prefill", "all"), 1, 0.1);
}

TEST_F(Cli, Every_list_and_every_shipped_topology_and_scenario_works) {
  for (const std::string kind :
       {"models", "topologies", "profiles", "schedulers", "collectives", "formats"}) {
    const Outcome outcome = run("list " + kind);
    EXPECT_EQ(outcome.status, 0) << kind << outcome.err;
    EXPECT_GT(outcome.out.size(), 20U);
  }
  for (const auto& entry : fs::directory_iterator("topologies")) {
    const Outcome outcome =
        run("topology show " + entry.path().string() + " --dot " + path("t.dot"));
    EXPECT_EQ(outcome.status, 0) << entry.path() << outcome.err;
    EXPECT_LE(longest_line(outcome.out), 100U) << entry.path();
    EXPECT_NE(read(path("t.dot")).find("graph"), std::string::npos);
  }
  for (const auto& entry : fs::directory_iterator("scenarios")) {
    if (entry.path().extension() == ".yaml") {
      EXPECT_EQ(run("simulate " + entry.path().string() + " --replications 0").status, 0)
          << entry.path();
    }
  }
}

// Traces of others: not ours to ship, read where they are.
class Traces : public Cli {
 protected:
  static constexpr const char* kFolder = "../shared/reference/traces/";

  std::string scenario(const std::string& trace, const std::string& rest) {
    const std::string file = fs::absolute(kFolder + trace).string();
    if (!fs::exists(file)) {
      return "";
    }
    return write("trace.yaml", "schema: 1\nmodel: llama-3.1-8b\ncluster: hgx-h100-8\n" + rest +
                                   "workload: {arrivals: {trace: \"" + file + "\"}}\n");
  }
};

TEST_F(Traces, The_azure_conversation_trace_completes_with_every_token_accounted_for) {
  const std::string file = scenario("azure_llm_2023_conv.csv", "");
  if (file.empty()) {
    GTEST_SKIP() << "reference traces are not beside the project";
  }
  const auto json = simulate(file + " --replications 0");
  EXPECT_EQ(json["completed"], 19366);
  EXPECT_EQ(json["failed"], 0);
  // Sums of the file's own columns.
  std::ifstream stream(std::string(kFolder) + "azure_llm_2023_conv.csv");
  std::int64_t input = 0, output = 0;
  for (std::string line; std::getline(stream, line);) {
    if (line[0] >= '0' && line[0] <= '9') {
      const auto first = line.find(','), second = line.find(',', first + 1);
      input += std::stoll(line.substr(first + 1, second - first - 1));
      output += std::stoll(line.substr(second + 1));
    }
  }
  EXPECT_EQ(json["total_input_tokens"], input);
  EXPECT_EQ(json["total_output_tokens"], output);
}

TEST_F(Traces, Mooncake_completes_on_eight_replicas_and_overloads_one) {
  const std::string file = scenario("mooncake_conversation.jsonl", "parallel: {data: 8}\n");
  if (file.empty()) {
    GTEST_SKIP() << "reference traces are not beside the project";
  }
  const auto eight = simulate(file + " --replications 0");
  EXPECT_EQ(eight["completed"], 11523);
  EXPECT_TRUE(eight["overload"].is_null());
  const Outcome one = run("simulate " + file + " --replications 0 --set parallel.data=1");
  EXPECT_EQ(one.status, 0);
  EXPECT_NE(one.out.find("overloaded: offered"), std::string::npos);
}

TEST_F(Traces, The_reference_speed_work_runs_on_the_trace_itself) {
  const std::string trace = fs::absolute(std::string(kFolder) + "azure_llm_2023_conv.csv").string();
  if (!fs::exists(trace)) {
    GTEST_SKIP() << "reference traces are not beside the project";
  }
  const auto json = simulate(
      "scenarios/reference-speed.yaml --replications 0 --set "
      "'workload.lengths={trace: \"" +
      trace + "\", max_total: 4096}'");
  EXPECT_EQ(json["completed"], 10000);
}

TEST_F(Cli, Topology_detect_shows_this_machine) {
  const Outcome outcome = run("topology detect --out " + path("here.yaml"));
  if (outcome.status == 2 && outcome.err.find("command") != std::string::npos) {
    GTEST_SKIP() << "built without calibrate/";
  }
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("socket0"), std::string::npos) << outcome.out;
  EXPECT_NE(read(path("here.yaml")).find("kind: root_complex"), std::string::npos);
  const Outcome bad = run("topology detect --socket-link 0GB/s");
  EXPECT_EQ(bad.status, 2);
  EXPECT_NE(bad.err.find("--socket-link"), std::string::npos) << bad.err;
}

}  // namespace
}  // namespace foretoken
