#include "sim/topology/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/topology/builders.h"

namespace foretoken {
namespace {

using testing::HasSubstr;
using testing::Not;

Topology small() {
  ClusterSpec spec;
  spec.name = "small";
  ClusterBuilder builder(spec);
  builder.build(Switched{2, {{450e9}, Time(350'000)}, true});
  builder.build(PcieTree{.sockets = 2,
                         .gpus_per_switch = 1,
                         .link = {{64e9}, Time(250'000)},
                         .uplink = {{64e9}, Time(250'000)},
                         .socket_link = {{40e9}, Time(250'000)}});
  return Topology(std::move(spec));
}

TEST(Describe, Shows_the_tree_the_switch_and_the_routes) {
  const std::string text = describe(small());
  EXPECT_EQ(text,
            "small: 2 GPUs, 1 node, 14 links\n"
            "node 0\n"
            "  nvswitch [multicast] -- gpu0-1  450GB/s, 350ns (nvlink)\n"
            "  socket0\n"
            "    pcie_switch0  64GB/s, 250ns (phb)\n"
            "      gpu0  64GB/s, 250ns (pix)\n"
            "  socket1\n"
            "    pcie_switch1  64GB/s, 250ns (phb)\n"
            "      gpu1  64GB/s, 250ns (pix)\n"
            "  socket0 -- socket1  40GB/s, 250ns (sys)\n"
            "routes between GPUs\n"
            "        0   1\n"
            "   0    X NVL\n"
            "   1  NVL   X\n");
}

TEST(Describe, Dot_draws_a_two_way_link_once) {
  const std::string dot = to_dot(small());
  EXPECT_THAT(dot, HasSubstr("\"gpu0\" -> \"nvswitch\" [label=\"450GB/s, 350ns\\nnvlink\", "
                             "dir=both]"));
  EXPECT_THAT(dot, Not(HasSubstr("\"nvswitch\" -> \"gpu0\"")));
  EXPECT_THAT(dot, HasSubstr("digraph \"small\""));
}

TEST(Describe, Dot_draws_unequal_directions_apart) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  builder.add_vertex("gpu0", VertexKind::gpu);
  builder.add_vertex("gpu1", VertexKind::gpu);
  builder.add_one_way(0, 1, {{2e9}, Time(1)}, LinkClass::nvlink);
  builder.add_one_way(1, 0, {{1e9}, Time(1)}, LinkClass::nvlink);
  const std::string dot = to_dot(Topology(std::move(spec)));
  EXPECT_THAT(dot, HasSubstr("\"gpu0\" -> \"gpu1\""));
  EXPECT_THAT(dot, HasSubstr("\"gpu1\" -> \"gpu0\""));
  EXPECT_THAT(dot, Not(HasSubstr("dir=both")));
}

}  // namespace
}  // namespace foretoken
