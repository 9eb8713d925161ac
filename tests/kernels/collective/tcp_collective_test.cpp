#include <gtest/gtest.h>

#include <csignal>

#include "group_runner.h"

namespace foretoken::kernels {
namespace {

TEST(TcpCollective, Every_process_of_an_all_reduce_ends_with_the_same_right_bytes) {
  const AllReduceCase cases[] = {
      {Algorithm::ring, "fp32", "fp32", 1},
      {Algorithm::one_shot, "int8", "int8", 1},
      {Algorithm::two_step, "fp32", "fp32", 1},
      {Algorithm::two_step, "int4/g32/spike", "int8", 3},
      {Algorithm::hierarchical, "int5", "int5", 4},
  };
  for (const int ranks : {2, 3, 4, 8}) {
    // One group of processes runs all cases: making it costs more than they do.
    const auto outcomes = run_processes(ranks, [&](Transport& t) {
      std::uint64_t hash = 0;
      for (const std::size_t n : {1, 77, 4096, 50001}) {
        for (const AllReduceCase& c : cases) {
          if (c.algorithm != Algorithm::hierarchical || ranks % 2 == 0) {
            hash = hash * 31 + all_reduce_rank(t, c, n);
          }
        }
      }
      return hash;
    });
    expect_all_same(outcomes, std::to_string(ranks) + " processes");
  }
}

TEST(TcpCollective, All_to_all_between_processes) {
  for (const int ranks : {2, 3, 4, 8}) {
    const auto outcomes = run_processes(
        ranks, [](Transport& t) { return all_to_all_rank(t, 1, 1) + all_to_all_rank(t, 1001, 2); });
    expect_all_same(outcomes, std::to_string(ranks) + " processes");
  }
}

TEST(TcpCollective, Sixty_four_megabytes_between_two_processes) {
  const auto outcomes = run_processes(2, [&](Transport& t) {
    return all_reduce_rank(t, {Algorithm::two_step, "int8", "int8", 8}, (64U << 20) / 4) +
           all_reduce_rank(t, {Algorithm::hierarchical, "int4", "int8", 8}, (64U << 20) / 4) +
           all_to_all_rank(t, (32U << 20) / 4, 4);
  });
  expect_all_same(outcomes, "64 MB");
}

TEST(TcpCollective, A_process_that_is_killed_gives_an_error_on_all_others) {
  const auto begin = std::chrono::steady_clock::now();
  const auto outcomes = run_processes(
      4,
      [&](Transport& t) {
        all_reduce_rank(t, {Algorithm::two_step, "int8", "int8", 1}, 100);
        if (t.rank() == 1) {
          ::kill(::getpid(), SIGKILL);
        }
        return all_reduce_rank(t, {Algorithm::ring, "fp32", "fp32", 1}, 100000);
      },
      std::chrono::milliseconds(10000));
  for (const Outcome& o : outcomes) {
    EXPECT_TRUE(o.failed);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(TcpCollective, A_process_that_hangs_gives_an_error_within_the_time_out) {
  const auto begin = std::chrono::steady_clock::now();
  const auto outcomes = run_processes(
      3,
      [&](Transport& t) {
        if (t.rank() == 2) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1500));
          throw KernelError("slept");
        }
        return all_reduce_rank(t, {Algorithm::one_shot, "fp32", "fp32", 1}, 1000);
      },
      std::chrono::milliseconds(300));
  EXPECT_TRUE(outcomes[0].failed && outcomes[1].failed);
  EXPECT_NE(std::string(outcomes[0].message.data()).find("rank 0: rank"), std::string::npos)
      << outcomes[0].message.data();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(TcpCollective, A_missing_rank_is_noticed_when_the_group_meets) {
  TcpOptions options;
  options.ranks = 2;
  options.timeout = std::chrono::milliseconds(50);
  const TcpListener listener;
  EXPECT_THROW(connect_tcp(options, &listener), TransportError);
}

TEST(TcpCollective, A_launcher_gives_rank_and_root_in_the_environment) {
  ::setenv("OMPI_COMM_WORLD_RANK", "3", 1);
  ::setenv("OMPI_COMM_WORLD_SIZE", "4", 1);
  ::setenv("FORETOKEN_ROOT", "node7:4000", 1);
  TcpOptions options;
  EXPECT_TRUE(tcp_options_from_launcher(options));
  EXPECT_EQ(options.rank, 3);
  EXPECT_EQ(options.ranks, 4);
  EXPECT_EQ(options.root_host, "node7");
  EXPECT_EQ(options.root_port, 4000);
  ::unsetenv("OMPI_COMM_WORLD_RANK");
  EXPECT_FALSE(tcp_options_from_launcher(options));
}

}  // namespace
}  // namespace foretoken::kernels
