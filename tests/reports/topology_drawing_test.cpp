#include "reports/topology_drawing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/topology/builders.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++n;
  }
  return n;
}

std::vector<double> idle(const Topology& topology) {
  return std::vector<double>(static_cast<std::size_t>(topology.link_count()), 0.0);
}

// 100 GB/s for two seconds could send 200 GB; 50 GB are 25 %.
TEST(TopologyDrawing, A_link_s_use_is_its_bytes_over_what_it_could_send) {
  const Topology topology = testing_fixtures::switched_topology(4);
  std::vector<double> bytes = idle(topology);
  bytes[0] = 50e9;
  bytes[1] = 1e9;
  const page::Drawing drawing = topology_drawing(topology, bytes, Time(2'000'000'000'000));
  ASSERT_EQ(drawing.numbers.rows.size(), 2U);
  EXPECT_EQ(drawing.numbers.rows[0].back(), "25");
  EXPECT_EQ(drawing.numbers.rows[1].back(), "0.5");
  EXPECT_THAT(drawing.svg, HasSubstr("heat-3"));
  EXPECT_THAT(drawing.description, HasSubstr("25 %"));
}

TEST(TopologyDrawing, Every_device_is_drawn_once_and_both_directions_are_one_line) {
  const Topology topology = testing_fixtures::switched_topology(4);
  const page::Drawing drawing = topology_drawing(topology, idle(topology), Time(1));
  EXPECT_EQ(count(drawing.svg, "class=\"gpu\""), 4U);
  EXPECT_EQ(count(drawing.svg, "class=\"box\""), 1U);
  EXPECT_EQ(count(drawing.svg, "<title>gpu0 to "), 1U);
  // The legend has a line of each of the five classes.
  EXPECT_EQ(count(drawing.svg, "class=\"link heat-"), 4U + 5U);
  EXPECT_THAT(drawing.description, HasSubstr("No link carries traffic"));
  EXPECT_TRUE(drawing.numbers.rows.empty());
}

TEST(TopologyDrawing, Large_clusters_show_the_nodes_in_use) {
  ClusterSpec spec;
  spec.name = "many";
  for (int node = 0; node < 5; ++node) {
    for (int gpu = 0; gpu < 8; ++gpu) {
      VertexSpec vertex;
      vertex.id = "n" + std::to_string(node) + ".gpu" + std::to_string(gpu);
      vertex.node = node;
      spec.vertices.push_back(vertex);
    }
  }
  for (int i = 0; i + 1 < 40; ++i) {
    for (const auto& [from, to] : {std::pair(i, i + 1), std::pair(i + 1, i)}) {
      LinkSpec link;
      link.from = from;
      link.to = to;
      link.bandwidth = {1e9};
      spec.links.push_back(link);
    }
  }
  const Topology topology{std::move(spec)};
  std::vector<double> bytes = idle(topology);
  bytes[40] = 1;  // within node 2
  const page::Drawing one = topology_drawing(topology, bytes, Time(1'000'000'000'000));
  EXPECT_EQ(count(one.svg, "class=\"gpu\""), 8U);
  EXPECT_THAT(one.svg, HasSubstr("n2.gpu4"));
  EXPECT_THAT(one.svg, Not(HasSubstr("n0.gpu")));
  std::fill(bytes.begin(), bytes.end(), 1.0);
  const page::Drawing all = topology_drawing(topology, bytes, Time(1'000'000'000'000));
  EXPECT_EQ(count(all.svg, "class=\"gpu\""), 16U);
  EXPECT_THAT(all.description, HasSubstr("2 of 5 nodes"));
}

}  // namespace
}  // namespace foretoken::reports
