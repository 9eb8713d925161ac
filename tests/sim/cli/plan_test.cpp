// foretoken plan, as a user meets it.
#include <gmock/gmock.h>

#include "tests/sim/cli/program.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

// 24 configurations of one cluster, short runs.
const std::string kSmall =
    "plan scenarios/plan-70b.yaml --replications 2 --set workload.requests=200 "
    "--set 'plan.clusters=[hgx-h100-8]' --set cost.gpu_hour=2 --set 'plan.tensor=[4,8]' "
    "--set 'plan.data=[1,2]' --set 'plan.max_num_seqs=[128]' --set 'plan.kv_cache=[fp8]' ";

class PlanCommand : public Cli {};

TEST_F(PlanCommand, Answers_in_words_as_json_and_as_a_page) {
  const Outcome outcome =
      run(kSmall + "--html " + path("plan.html") + " --json " + path("plan.json"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("Cheapest plan:"));
  EXPECT_THAT(outcome.out, HasSubstr("rest partly on assumed numbers"));
  const auto json = nlohmann::json::parse(read(path("plan.json")), nullptr, false);
  ASSERT_FALSE(json["front"].empty());
  const std::string page = read(path("plan.html"));
  EXPECT_THAT(page, HasSubstr("Pareto front"));
  EXPECT_THAT(page, HasSubstr("Rate against cost"));
  EXPECT_THAT(page, HasSubstr("Why not another"));
  EXPECT_THAT(page, HasSubstr(json["scenario"]["hash"].get<std::string>()));
}

TEST_F(PlanCommand, Says_the_same_with_any_number_of_threads) {
  EXPECT_EQ(run(kSmall + "--jobs 1 --json -").out, run(kSmall + "--jobs 3 --json -").out);
}

#ifdef FORETOKEN_MPI_PROGRAM
TEST_F(PlanCommand, Says_the_same_on_four_ranks_of_mpi) {
  if (std::system("command -v mpirun >/dev/null") != 0) {
    GTEST_SKIP() << "no mpirun on PATH";
  }
  // OpenMPI keeps memory of its unloaded plug-ins, which a leak check would blame on us.
  const Outcome ranks = run_shell(
      std::string("ASAN_OPTIONS=detect_leaks=0 mpirun --allow-run-as-root --oversubscribe -n 4 ") +
      FORETOKEN_MPI_PROGRAM + " " + kSmall + "--json " + path("ranks.json") + " 2>&1");
  ASSERT_EQ(ranks.status, 0) << ranks.out;
  EXPECT_EQ(read(path("ranks.json")), run(kSmall + "--jobs 1 --json -").out);
}
#endif

TEST_F(PlanCommand, Without_a_feasible_plan_it_names_the_limit_and_exits_3) {
  const Outcome outcome = run(kSmall + "--set plan.gpus=1 --html " + path("none.html"));
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.out, HasSubstr("plan.gpus binds"));
  EXPECT_THAT(outcome.out, HasSubstr("would lift it"));
  EXPECT_THAT(read(path("none.html")), HasSubstr("plan.gpus binds"));
}

TEST_F(PlanCommand, Refuses_what_it_does_not_know) {
  const Outcome unknown = run("plan scenarios/plan-70b.yaml --set plan.tensors=[1]");
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.err, HasSubstr("tensor"));
  const Outcome format = run("plan scenarios/plan-70b.yaml --set plan.all_reduce=[int9]");
  EXPECT_EQ(format.status, 2);
  EXPECT_THAT(format.err, HasSubstr("int9"));
  const Outcome resume = run("plan scenarios/plan-70b.yaml --resume");
  EXPECT_EQ(resume.status, 2);
  EXPECT_THAT(resume.err, HasSubstr("--db"));
}

}  // namespace
}  // namespace foretoken
