// Every topology file we ship is loaded, and its devices and routes are what its box has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "sim/config/cluster_reader.h"
#include "sim/topology/describe.h"
#include "sim/topology/topology.h"

namespace foretoken {
namespace {

struct Expected {
  std::string name;
  std::string profile;
  int gpus;
  // Class of the route from GPU 0 to each of these.
  std::vector<std::pair<int, LinkClass>> classes;
  double gbs;  // of GPU 0's best link
};

void PrintTo(const Expected& expected, std::ostream* out) { *out << expected.name; }

const std::vector<Expected>& expected() {
  using enum LinkClass;
  static const std::vector<Expected> rows{
      {"cpu-2core", "cpu-2core", 2, {{1, nvlink}}, 25.6},
      {"cpu-2core-tcp", "cpu-2core", 2, {{1, network}}, 10},
      {"hgx-h100-8", "h100-sxm", 8, {{1, nvlink}, {7, nvlink}}, 450},
      {"hgx-h200-8", "h200-sxm", 8, {{1, nvlink}, {7, nvlink}}, 450},
      {"hgx-b200-8", "b200-sxm", 8, {{1, nvlink}, {7, nvlink}}, 900},
      {"dgx-a100-8", "a100-sxm-80gb", 8, {{1, nvlink}, {7, nvlink}}, 300},
      {"a800-8", "a100-sxm-80gb", 8, {{1, nvlink}, {7, nvlink}}, 200},
      {"8xl40s-pcie", "l40s", 8, {{1, pix}, {2, phb}, {3, phb}, {4, sys}, {7, sys}}, 32},
      {"4xl40-pcie", "l40", 4, {{1, pix}, {2, sys}, {3, sys}}, 32},
      {"8x4090-pcie", "rtx-4090", 8, {{1, pix}, {3, pix}, {4, sys}}, 32},
      {"8x-rtx-pro-6000", "rtx-pro-6000", 8, {{1, pix}, {3, pix}, {4, sys}}, 64},
      {"h100-pod-4", "h100-sxm", 32, {{1, nvlink}, {8, network}, {31, network}}, 450},
      {"h100-pod-32", "h100-sxm", 256, {{7, nvlink}, {8, network}, {255, network}}, 450},
  };
  return rows;
}

class Shipped : public testing::TestWithParam<Expected> {};

TEST_P(Shipped, Has_the_devices_links_and_routes_of_its_box) {
  const Expected& want = GetParam();
  const Topology topology(config::read_cluster("topologies/" + want.name + ".yaml"));
  EXPECT_EQ(topology.spec().name, want.name);
  EXPECT_EQ(topology.spec().profile, want.profile);
  EXPECT_FALSE(topology.spec().source.empty());
  EXPECT_EQ(topology.gpu_count(), want.gpus);
  for (const auto& [gpu, link_class] : want.classes) {
    EXPECT_EQ(topology.route_class(0, gpu), link_class) << "gpu " << gpu;
    EXPECT_EQ(topology.route_class(gpu, 0), link_class) << "gpu " << gpu;
  }
  const LinkId first = topology.route(0, 1).links.front();
  EXPECT_DOUBLE_EQ(topology.link(first).bandwidth.bytes_per_second, want.gbs * 1e9);
}

TEST_P(Shipped, Is_described_within_100_columns) {
  const Topology topology(config::read_cluster("topologies/" + GetParam().name + ".yaml"));
  std::istringstream text(describe(topology));
  std::string line;
  int lines = 0;
  while (std::getline(text, line)) {
    EXPECT_LE(line.size(), 100u) << line;
    ++lines;
  }
  EXPECT_GT(lines, 5);
  EXPECT_LT(lines, 80);
}

INSTANTIATE_TEST_SUITE_P(Topologies, Shipped, testing::ValuesIn(expected()), [](const auto& row) {
  std::string name = row.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(ShippedTopologies, Are_all_listed_above) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("topologies")) {
    if (entry.path().extension() == ".yaml") {
      files.insert(entry.path().stem().string());
    }
  }
  std::set<std::string> names;
  for (const Expected& row : expected()) {
    names.insert(row.name);
  }
  EXPECT_EQ(files, names);
}

TEST(ShippedTopologies, Pods_are_rail_optimised) {
  const Topology topology(config::read_cluster("topologies/h100-pod-32.yaml"));
  const auto switches_on_the_way = [&](int from, int to) {
    int count = 0;
    for (const LinkId id : topology.route(from, to).links) {
      count += topology.vertex(topology.link(id).to).kind == VertexKind::network_switch;
    }
    return count;
  };
  EXPECT_EQ(switches_on_the_way(0, 8), 1);  // same rail: its leaf
  EXPECT_EQ(switches_on_the_way(0, 8 * 31), 1);
  EXPECT_EQ(switches_on_the_way(0, 9), 3);  // another rail: leaf, spine, leaf
}

}  // namespace
}  // namespace foretoken
