#include "sim/serving/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/error.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;
using ::testing::ElementsAre;

ParallelSpec degrees(int tensor, int pipeline, int data) {
  ParallelSpec parallel;
  parallel.tensor = tensor;
  parallel.pipeline = pipeline;
  parallel.data = data;
  return parallel;
}

TEST(Placement, Tensor_ranks_are_neighbours_by_default_then_stages_then_replicas) {
  const auto replicas = place(degrees(2, 2, 2), {}, switched_topology(8));
  ASSERT_EQ(replicas.size(), 2U);
  EXPECT_THAT(replicas[0].stages[0].gpus, ElementsAre(0, 1));
  EXPECT_THAT(replicas[0].stages[0].next_gpus, ElementsAre(2, 3));
  EXPECT_THAT(replicas[0].stages[1].gpus, ElementsAre(2, 3));
  EXPECT_THAT(replicas[1].stages[0].gpus, ElementsAre(4, 5));
  EXPECT_TRUE(replicas[1].stages[1].next_gpus.empty());
}

TEST(Placement, The_order_of_dimensions_decides_who_is_a_neighbour) {
  PlacementSpec placement;
  placement.order = {"pipeline", "tensor", "expert", "data"};
  const auto replicas = place(degrees(2, 2, 1), placement, switched_topology(4));
  EXPECT_THAT(replicas[0].stages[0].gpus, ElementsAre(0, 2));
  EXPECT_THAT(replicas[0].stages[1].gpus, ElementsAre(1, 3));
}

TEST(Placement, Wrong_groups_and_too_few_gpus_are_refused) {
  const Topology four = switched_topology(4);
  EXPECT_THROW(place(degrees(8, 1, 1), {}, four), InputError);
  PlacementSpec placement;
  placement.groups = {{0, 1}};
  EXPECT_THROW(place(degrees(2, 1, 2), placement, four), InputError);  // one group missing
  placement.groups = {{0, 1}, {1, 2}};
  EXPECT_THROW(place(degrees(2, 1, 2), placement, four), InputError);  // GPU 1 twice
  placement.groups = {{0, 1}, {2, 9}};
  EXPECT_THROW(place(degrees(2, 1, 2), placement, four), InputError);  // no GPU 9
  placement.groups = {{0, 1, 2}, {3}};
  EXPECT_THROW(place(degrees(2, 1, 2), placement, four), InputError);  // wrong sizes
  placement.groups = {{3, 1}, {0, 2}};
  EXPECT_THAT(place(degrees(2, 1, 2), placement, four)[0].stages[0].gpus, ElementsAre(3, 1));
}

// Two sockets of two GPUs each, behind a switch each.
Topology two_sockets() {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .gpus_per_switch = 2,
                                      .link = {{32e9}, kTimeZero},
                                      .uplink = {{32e9}, kTimeZero},
                                      .socket_link = {{20e9}, kTimeZero}});
  return Topology(std::move(spec));
}

TEST(Placement, Replicas_share_links_where_their_routes_cross) {
  EXPECT_FALSE(replicas_share_links(place(degrees(2, 1, 2), {}, switched_topology(4)),
                                    switched_topology(4)));
  EXPECT_FALSE(replicas_share_links(place(degrees(2, 1, 2), {}, two_sockets()), two_sockets()));
  PlacementSpec apart;
  apart.groups = {{0, 2}, {1, 3}};
  EXPECT_TRUE(replicas_share_links(place(degrees(2, 1, 2), apart, two_sockets()), two_sockets()));
  // The stages of one replica may share among themselves.
  EXPECT_FALSE(replicas_share_links(place(degrees(2, 2, 1), apart, two_sockets()), two_sockets()));
  // Sends from stage to stage count as well.
  PlacementSpec stages;
  stages.groups = {{0}, {2}, {1}, {3}};
  EXPECT_TRUE(replicas_share_links(place(degrees(1, 2, 2), stages, two_sockets()), two_sockets()));
}

}  // namespace
}  // namespace foretoken
