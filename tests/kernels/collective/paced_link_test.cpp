// A link paced to 1 Gbit/s is a wire on which bytes decide: what compressed all-reduces of 4 MB put
// on it is as much less as their formats say, and nothing crosses it faster than its rate. Needs
// root and iproute2.
#include "kernels/collective/paced_link.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "group_runner.h"
#include "kernels/base/rounds.h"
#include "kernels/collective/timing.h"

namespace foretoken::kernels {
namespace {

std::unique_ptr<PacedLink> make_link(std::string& obstacle) {
  obstacle = PacedLink::obstacle();
  if (!obstacle.empty()) {
    return nullptr;
  }
  try {
    return std::make_unique<PacedLink>("1gbit");
  } catch (const KernelError& e) {
    obstacle = e.what();
    return nullptr;
  }
}

// Bytes that this process's network namespace has sent on devices other than lo, headers included.
double sent_bytes() {
  std::ifstream file("/proc/thread-self/net/dev");
  double sum = 0;
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.find("lo:") != std::string::npos) {
      continue;
    }
    // Eight numbers of what was received, then what was sent.
    std::istringstream numbers(line.substr(colon + 1));
    double value = 0;
    for (int column = 0; column < 9; ++column) {
      numbers >> value;
    }
    sum += value;
  }
  return sum;
}

constexpr const char* kFormats[] = {"fp32", "bf16", "int8", "int4/g128"};
constexpr std::size_t kCases = std::size(kFormats);

// What rank 0 writes into its pipe, by format: of one all-reduce each.
struct Crossing {
  double bytes[kCases];
  double seconds[kCases];
};

Crossing cross(Transport& transport) {
  Crossing crossing{};
  for (std::size_t i = 0; i < kCases; ++i) {
    CollectiveDesc desc;
    desc.values = std::size_t{1} << 20;
    desc.first = desc.second = parse_wire_format(kFormats[i]);
    desc.chunks = 4;
    const std::vector<float> in(desc.values, 1.5F);
    std::vector<float> out(desc.values, -1.0F);
    Collective collective(transport, desc);
    barrier(transport);
    const double before = sent_bytes();
    crossing.seconds[i] = wall_seconds(1, [&] { collective.run(in.data(), out.data()); });
    barrier(transport);  // the other rank has all of it: nothing waits in a queue
    crossing.bytes[i] = sent_bytes() - before;
  }
  return crossing;
}

TEST(PacedLink, Formats_put_as_many_bytes_on_the_wire_as_they_say_and_none_too_fast) {
  std::string obstacle;
  const auto link = make_link(obstacle);
  if (link == nullptr) {
    GTEST_SKIP() << obstacle;
  }
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::vector<pid_t> children;
  for (int rank = 0; rank < 2; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) {
      int status = 1;
      try {
        link->enter(rank);
        TcpOptions options;
        options.rank = rank;
        options.ranks = 2;
        options.root_host = link->address(0);
        options.root_port = 47103;
        const auto transport = connect_tcp(options);
        const Crossing crossing = cross(*transport);
        status =
            rank != 0 || ::write(ends[1], &crossing, sizeof(crossing)) == sizeof(crossing) ? 0 : 1;
      } catch (const std::exception& e) {
        std::fprintf(stderr, "rank %d: %s\n", rank, e.what());
      }
      ::_exit(status);
    }
    children.push_back(child);
  }
  ::close(ends[1]);
  Crossing crossing{};
  ASSERT_EQ(::read(ends[0], &crossing, sizeof(crossing)), static_cast<ssize_t>(sizeof(crossing)));
  ::close(ends[0]);
  for (const pid_t child : children) {
    ::waitpid(child, nullptr, 0);
  }
  const auto [fp32, bf16, int8, int4] = crossing.bytes;
  // Half of 4 MiB for each of the two steps; headers, acknowledgements and what is sent again come
  // on top.
  EXPECT_GE(fp32, 4.0 * (1 << 20));
  EXPECT_LE(fp32, 1.2 * 4.0 * (1 << 20));
  EXPECT_NEAR(fp32 / bf16, 2.0, 0.2);
  EXPECT_NEAR(fp32 / int8, 3.9, 0.4);
  EXPECT_NEAR(fp32 / int4, 7.5, 0.8);
  for (std::size_t i = 0; i < kCases; ++i) {
    // Twice the bucket of 128 KiB may pass at once. How much slower than the rate a busy machine
    // is decides nothing.
    const double least = (0.9 * crossing.bytes[i] - 2 * 131072) / (1e9 / 8);
    EXPECT_GE(crossing.seconds[i], least) << kFormats[i];
    RecordProperty(std::string(kFormats[i]).substr(0, 4), std::to_string(crossing.seconds[i]));
  }
}

}  // namespace
}  // namespace foretoken::kernels
