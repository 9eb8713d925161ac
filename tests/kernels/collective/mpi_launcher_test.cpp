// OpenMPI's mpirun starts the ranks; they meet over TCP. Skipped where there is no mpirun.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "kernels/collective/tcp_transport.h"

namespace foretoken::kernels {
namespace {

std::vector<std::string> lines_of(const std::string& command, int& status) {
  std::vector<std::string> lines;
  FILE* pipe = ::popen(command.c_str(), "r");
  char text[256];
  while (pipe != nullptr && std::fgets(text, sizeof(text), pipe) != nullptr) {
    lines.emplace_back(text);
  }
  status = pipe == nullptr ? -1 : ::pclose(pipe);
  return lines;
}

TEST(MpiLauncher, Ranks_that_mpirun_starts_end_with_the_same_bytes) {
  int status = 0;
  lines_of("mpirun --version 2>/dev/null", status);
  if (status != 0) {
    GTEST_SKIP() << "no mpirun on this machine (openmpi-bin)";
  }
  const int port = TcpListener().port();  // free now, and hardly taken before rank 0 wants it
  for (const int ranks : {2, 3}) {
    const auto lines = lines_of(
        "mpirun --allow-run-as-root --oversubscribe -x FORETOKEN_ROOT=127.0.0.1:" +
            std::to_string(port) + " -n " + std::to_string(ranks) + " " LAUNCHED_RANK " 2>&1",
        status);
    std::string all;
    for (const std::string& line : lines) {
      all += line;
    }
    ASSERT_EQ(status, 0) << all;
    EXPECT_EQ(lines.size(), static_cast<std::size_t>(ranks)) << all;
    EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()).size(), 1U) << all;
    EXPECT_NE(all.find("ranks " + std::to_string(ranks)), std::string::npos) << all;
  }
}

}  // namespace
}  // namespace foretoken::kernels
