// foretoken explain, as a user meets it.
#include <cmath>

#include "tests/sim/cli/program.h"

namespace foretoken {
namespace {

const std::string kScenario = "scenarios/8xl40s-llama-70b.yaml --set workload.requests=40 ";

class Explain : public Cli {
 protected:
  nlohmann::json explain(const std::string& arguments) const {
    const Outcome outcome = run("explain " + arguments + " --json " + path("out.json"));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_LE(longest_line(outcome.out), 100u);
    return nlohmann::json::parse(read(path("out.json")), nullptr, false);
  }
};

double sum(const nlohmann::json& parts, const char* key) {
  double total = 0;
  for (const auto& part : parts) {
    total += part[key].get<double>();
  }
  return total;
}

std::set<std::string> names(const nlohmann::json& parts) {
  std::set<std::string> found;
  for (const auto& part : parts) {
    found.insert(part["name"].get<std::string>());
  }
  return found;
}

TEST_F(Explain, The_parts_of_both_waterfalls_add_up_to_the_means) {
  for (const std::string layout : {"",
                                   "--set parallel.tensor=4 --set parallel.pipeline=2 "
                                   "--set precision.weights=int8",
                                   "--set engine.overlap_collectives=10%"}) {
    const auto json = explain(kScenario + layout);
    for (const char* what : {"ttft", "tpot"}) {
      EXPECT_NEAR(sum(json[what]["parts"], "ms"), json[what]["mean_ms"].get<double>(), 1e-6)
          << what << " " << layout;
    }
    EXPECT_GT(json["ttft"]["parts"][0]["ms"].get<double>(), 0);  // the queue
    EXPECT_EQ(json["ttft"]["parts"][0]["name"], "queue");
  }
}

TEST_F(Explain, Parts_are_told_apart_by_cause) {
  const auto json = explain(kScenario +
                            "--set precision.all_reduce=int4 --set precision.weights=int4/g128 "
                            "--set parallel.tensor=4 --set parallel.pipeline=2");
  const auto ttft = names(json["ttft"]["parts"]), tpot = names(json["tpot"]["parts"]);
  for (const std::string part : {"host: steps", "GEMM w4a16/g128", "attention", "elementwise",
                                 "codec", "wire: latency", "wire: bytes", "wire: contention"}) {
    EXPECT_TRUE(ttft.contains(part)) << part;
  }
  EXPECT_TRUE(tpot.contains("pipeline bubbles"));
}

TEST_F(Explain, A_gemm_stands_on_its_roof_with_the_intensity_that_its_shape_says) {
  const auto json = explain(kScenario);
  int gemms = 0;
  for (const auto& gemm : json["decode"]["gemms"]) {
    ++gemms;
    const double m = gemm["m"], n = gemm["n"], k = gemm["k"];
    // bf16 everywhere: 2 m n k operations over 2 (m k + n k + m n) bytes.
    EXPECT_NEAR(gemm["operations_per_byte"].get<double>(), m * n * k / (m * k + n * k + m * n),
                1e-6 * m);
    EXPECT_EQ(gemm["bound_by"], "memory");  // a few rows
    EXPECT_LE(gemm["roof_share"].get<double>(), 1 + 1e-9);
    EXPECT_NEAR(gemm["operations_per_second"].get<double>() * gemm["us"].get<double>() * 1e-6,
                2 * m * n * k, 2e-3 * m * n * k);
  }
  EXPECT_GE(gemms, 4);
}

TEST_F(Explain, Collectives_name_the_link_they_wait_for) {
  const auto json = explain(kScenario);
  for (const auto& collective : json["prefill"]["collectives"]) {
    const double busy = collective["critical_link_busy"];
    EXPECT_NE(collective["critical_link"].get<std::string>().find(" -> "), std::string::npos);
    EXPECT_GT(busy, 0);
    EXPECT_LE(busy, 1 + 1e-6);
    EXPECT_LE(collective["contention_us"].get<double>(), collective["wire_us"].get<double>());
  }
  EXPECT_FALSE(json["prefill"]["collectives"].empty());
}

TEST_F(Explain, A_scenario_does_not_differ_from_itself) {
  const auto json = explain("scenarios/quickstart.yaml scenarios/quickstart.yaml");
  for (const char* what : {"ttft", "tpot"}) {
    for (const auto& part : json["difference"][what]) {
      EXPECT_EQ(part["difference_ms"].get<double>(), 0) << part;
    }
  }
}

TEST_F(Explain, The_difference_of_two_scenarios_is_the_sum_of_its_terms) {
  std::string narrow = read("scenarios/8xl40s-llama-70b.yaml");
  narrow += "precision: {weights: int8, all_reduce: int4}\n";
  const auto json = explain("scenarios/8xl40s-llama-70b.yaml " + write("narrow.yaml", narrow) +
                            " --set workload.requests=40");
  for (const std::string what : {"ttft", "tpot"}) {
    const double difference = json["b"]["mean_" + what + "_ms"].get<double>() -
                              json["a"]["mean_" + what + "_ms"].get<double>();
    EXPECT_LT(difference, 0) << what;
    EXPECT_NEAR(sum(json["difference"][what], "difference_ms"), difference, 1e-6) << what;
  }
  const auto terms = names(json["difference"]["tpot"]);
  EXPECT_TRUE(terms.contains("GEMM bf16"));   // only in the first
  EXPECT_TRUE(terms.contains("GEMM w8a16"));  // only in the second
  EXPECT_TRUE(terms.contains("codec"));
}

}  // namespace
}  // namespace foretoken
