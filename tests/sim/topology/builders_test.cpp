#include "sim/topology/builders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/error.h"
#include "sim/topology/topology.h"

namespace foretoken {
namespace {

constexpr LinkParameters kLink{{100e9}, Time(1000)};

TEST(Builders, Every_kind_of_ends_has_its_class) {
  using enum VertexKind;
  EXPECT_EQ(default_link_class(gpu, gpu), LinkClass::nvlink);
  EXPECT_EQ(default_link_class(nvswitch, gpu), LinkClass::nvlink);
  EXPECT_EQ(default_link_class(gpu, pcie_switch), LinkClass::pix);
  EXPECT_EQ(default_link_class(pcie_switch, nic), LinkClass::pix);
  EXPECT_EQ(default_link_class(pcie_switch, pcie_switch), LinkClass::pxb);
  EXPECT_EQ(default_link_class(pcie_switch, root_complex), LinkClass::phb);
  EXPECT_EQ(default_link_class(gpu, root_complex), LinkClass::phb);
  EXPECT_EQ(default_link_class(root_complex, host_memory), LinkClass::phb);
  EXPECT_EQ(default_link_class(root_complex, root_complex), LinkClass::sys);
  EXPECT_EQ(default_link_class(nic, network_switch), LinkClass::network);
  EXPECT_EQ(default_link_class(network_switch, network_switch), LinkClass::network);
}

TEST(Builders, A_full_mesh_of_n_has_n_times_n_minus_1_directed_links) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(FullyConnected{5, kLink});
  EXPECT_EQ(spec.vertices.size(), 5u);
  EXPECT_EQ(spec.links.size(), 20u);
}

TEST(Builders, A_ring_of_two_has_one_link_each_way) {
  ClusterSpec two;
  ClusterBuilder(two).build(Ring{2, kLink});
  EXPECT_EQ(two.links.size(), 2u);
  ClusterSpec five;
  ClusterBuilder(five).build(Ring{5, kLink});
  EXPECT_EQ(five.links.size(), 10u);
  ClusterSpec one;
  EXPECT_THROW(ClusterBuilder(one).build(Ring{1, kLink}), InputError);
}

TEST(Builders, Two_steps_about_the_same_gpus_build_one_box) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  builder.build(Switched{4, kLink, true});
  builder.build(PcieTree{
      .sockets = 2, .gpus_per_switch = 2, .link = kLink, .uplink = kLink, .socket_link = kLink});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.gpu_count(), 4);
  EXPECT_TRUE(topology.vertex(topology.vertices_of_kind(VertexKind::nvswitch).at(0)).multicast);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::pcie_switch).size(), 2u);
}

TEST(Builders, Steps_that_disagree_about_the_number_of_gpus_are_refused) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  builder.build(Switched{4, kLink, false});
  EXPECT_THROW(builder.build(Switched{8, kLink, false}), InputError);
}

TEST(Builders, A_pcie_tree_gives_each_pair_its_class) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 2,
                                      .gpus_per_switch = 2,
                                      .link = kLink,
                                      .uplink = kLink,
                                      .socket_link = kLink});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::pix);
  EXPECT_EQ(topology.route_class(0, 2), LinkClass::phb);
  EXPECT_EQ(topology.route_class(0, 4), LinkClass::sys);
}

TEST(Builders, A_cascade_joins_the_switches_of_a_socket_below_the_host_bridge) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 2,
                                      .gpus_per_switch = 2,
                                      .cascade = true,
                                      .link = kLink,
                                      .uplink = kLink,
                                      .socket_link = kLink});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::pix);
  EXPECT_EQ(topology.route_class(0, 2), LinkClass::pxb);
  EXPECT_EQ(topology.route_class(0, 4), LinkClass::sys);
}

ClusterSpec box() {
  ClusterSpec node;
  ClusterBuilder(node).build(PcieTree{.switches_per_socket = 2,
                                      .gpus_per_switch = 1,
                                      .nics_per_switch = 1,
                                      .link = kLink,
                                      .uplink = {{100e9}, Time(3000)}});
  return node;
}

TEST(Builders, Rails_meet_at_their_own_leaf_and_cross_over_a_spine) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(
      Pod{.node = box(), .count = 3, .spines = 2, .nic = kLink, .uplink = kLink});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.gpu_count(), 6);
  EXPECT_EQ(topology.node_of_gpu(5), 2);
  // 2 leaves and 2 spines.
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::network_switch).size(), 4u);
  // gpu switch nic leaf nic switch gpu: 6 links; across rails leaf spine leaf: 8.
  EXPECT_EQ(topology.route(0, 2).links.size(), 6u);
  EXPECT_EQ(topology.route(0, 3).links.size(), 8u);
  EXPECT_EQ(topology.route_class(0, 3), LinkClass::network);
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::phb);
}

TEST(Builders, Without_spines_another_rail_is_reached_through_the_host) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Pod{.node = box(), .count = 2, .nic = kLink});
  const Topology topology(std::move(spec));
  // gpu0 switch0 socket switch1 nic1 leaf1 nic1' switch1' gpu1': 8 links.
  EXPECT_EQ(topology.route(0, 3).links.size(), 8u);
}

TEST(Builders, A_pod_of_nodes_without_nics_is_refused) {
  ClusterSpec node;
  ClusterBuilder(node).build(Switched{2, kLink, false});
  ClusterSpec spec;
  try {
    ClusterBuilder(spec).build(Pod{.node = node, .count = 2, .nic = kLink});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("nics_per_switch"));
  }
}

TEST(Builders, A_fat_tree_has_its_closed_form_counts) {
  // k = 4: 4 pods x (2 edge + 2 aggregation) + 4 core = 20 switches, 16 hosts; links: 16 to hosts,
  // 16 edge-aggregation, 16 aggregation-core, twice for two directions.
  ClusterSpec spec;
  ClusterBuilder(spec).build(FatTree{.k = 4, .link = kLink, .uplink = kLink});
  EXPECT_EQ(spec.vertices.size(), 36u);
  EXPECT_EQ(spec.links.size(), 96u);
}

TEST(Builders, A_fat_tree_of_nodes_plugs_in_their_nics_and_refuses_too_many) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(
      FatTree{.k = 4, .hosts = 8, .node = box(), .link = kLink, .uplink = kLink});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.gpu_count(), 16);
  EXPECT_EQ(topology.route_class(0, 15), LinkClass::network);
  ClusterSpec full;
  EXPECT_THROW(ClusterBuilder(full).build(
                   FatTree{.k = 4, .hosts = 9, .node = box(), .link = kLink, .uplink = kLink}),
               InputError);
  ClusterSpec odd;
  EXPECT_THROW(ClusterBuilder(odd).build(FatTree{.k = 3, .link = kLink, .uplink = kLink}),
               InputError);
}

}  // namespace
}  // namespace foretoken
