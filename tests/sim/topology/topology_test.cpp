#include "sim/topology/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "sim/core/error.h"
#include "sim/topology/builders.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

constexpr LinkParameters kFast{{100e9}, Time(1000)};
constexpr LinkParameters kSlow{{10e9}, Time(5000)};

// The devices on the way, as text: "gpu0 nvswitch gpu1".
std::string way(const Topology& topology, const Route& route) {
  std::string text;
  for (const LinkId id : route.links) {
    text += topology.vertex(topology.link(id).from).id + " ";
  }
  return text + topology.vertex(topology.link(route.links.back()).to).id;
}

std::string way(const Topology& topology, int from, int to) {
  return way(topology, topology.route(from, to));
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Topology, A_route_within_a_switched_box_is_two_links) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Switched{4, kFast, false});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.gpu_count(), 4);
  EXPECT_EQ(way(topology, 0, 3), "gpu0 nvswitch gpu3");
  EXPECT_EQ(topology.route(0, 3).latency, Time(2000));
  EXPECT_EQ(topology.route_class(0, 3), LinkClass::nvlink);
  EXPECT_TRUE(topology.route(2, 2).links.empty());
}

TEST(Topology, A_gpu_never_forwards_traffic) {
  // A chain gpu0 - gpu1 - gpu2: there is no way from 0 to 2.
  ClusterSpec spec;
  spec.file = "chain.yaml";
  ClusterBuilder builder(spec);
  for (const char* id : {"gpu0", "gpu1", "gpu2"}) {
    builder.add_vertex(id, VertexKind::gpu);
  }
  builder.add_link(0, 1, kFast);
  builder.add_link(1, 2, kFast);
  const Topology topology(std::move(spec));
  EXPECT_EQ(way(topology, 0, 1), "gpu0 gpu1");
  EXPECT_THAT(message_of([&] { topology.route(0, 2); }),
              AllOf(HasSubstr("chain.yaml"), HasSubstr("\"gpu0\" to \"gpu2\"")));
}

TEST(Topology, Host_memory_never_forwards_but_can_be_an_end) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  const int a = builder.add_vertex("gpu0", VertexKind::gpu);
  const int b = builder.add_vertex("gpu1", VertexKind::gpu);
  const int memory = builder.add_vertex("memory", VertexKind::host_memory);
  builder.add_link(a, memory, kFast);
  builder.add_link(b, memory, kFast);
  const Topology topology(std::move(spec));
  EXPECT_EQ(way(topology, topology.route_between(a, memory)), "gpu0 memory");
  EXPECT_EQ(way(topology, topology.route_between(memory, b)), "memory gpu1");
  EXPECT_THROW(topology.route(0, 1), InputError);
}

TEST(Topology, A_nic_does_not_join_two_devices_of_its_own_pcie_side) {
  // gpu0 - switchA - nic - switchB - gpu1, and a long way round through two sockets.
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  const int gpu0 = builder.add_vertex("gpu0", VertexKind::gpu);
  const int gpu1 = builder.add_vertex("gpu1", VertexKind::gpu);
  const int left = builder.add_vertex("left", VertexKind::pcie_switch);
  const int right = builder.add_vertex("right", VertexKind::pcie_switch);
  const int nic = builder.add_vertex("nic", VertexKind::nic);
  const int root = builder.add_vertex("root", VertexKind::root_complex);
  builder.add_link(gpu0, left, kFast);
  builder.add_link(gpu1, right, kFast);
  builder.add_link(nic, left, kFast);
  builder.add_link(nic, right, kFast);
  builder.add_link(left, root, kSlow);
  builder.add_link(right, root, kSlow);
  const Topology topology(std::move(spec));
  EXPECT_EQ(way(topology, 0, 1), "gpu0 left root right gpu1");
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::phb);
}

TEST(Topology, A_nic_does_not_relay_within_the_network) {
  // Two networks joined by nothing but a NIC with a port in each.
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  const int gpu0 = builder.add_vertex("gpu0", VertexKind::gpu);
  const int gpu1 = builder.add_vertex("gpu1", VertexKind::gpu);
  const int a = builder.add_vertex("a", VertexKind::network_switch);
  const int b = builder.add_vertex("b", VertexKind::network_switch);
  const int nic = builder.add_vertex("nic", VertexKind::nic);
  builder.add_link(gpu0, a, kFast);
  builder.add_link(gpu1, b, kFast);
  builder.add_link(nic, a, kFast);
  builder.add_link(nic, b, kFast);
  const Topology topology(std::move(spec));
  EXPECT_THROW(topology.route(0, 1), InputError);
}

TEST(Topology, A_better_link_class_beats_a_lower_latency) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  builder.build(Switched{2, {{100e9}, Time(50'000)}, false});
  builder.build(PcieTree{.gpus_per_switch = 2, .link = kFast, .uplink = kFast});
  const Topology topology(std::move(spec));
  EXPECT_EQ(way(topology, 0, 1), "gpu0 nvswitch gpu1");
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::nvlink);
}

// Why one pass of Dijkstra by (class, latency) would be wrong: at `m` the NVLink prefix looks
// better, but the class of the whole way is PIX in any case and the PIX prefix is faster.
TEST(Topology, The_class_of_the_whole_way_counts_not_that_of_a_prefix) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  const int gpu0 = builder.add_vertex("gpu0", VertexKind::gpu);
  const int gpu1 = builder.add_vertex("gpu1", VertexKind::gpu);
  const int slow = builder.add_vertex("slow", VertexKind::nvswitch);
  const int fast = builder.add_vertex("fast", VertexKind::pcie_switch);
  const int m = builder.add_vertex("m", VertexKind::pcie_switch);
  builder.add_link(gpu0, slow, kSlow, LinkClass::nvlink);
  builder.add_link(slow, m, kSlow, LinkClass::nvlink);
  builder.add_link(gpu0, fast, kFast, LinkClass::pix);
  builder.add_link(fast, m, kFast, LinkClass::pix);
  builder.add_link(m, gpu1, kFast, LinkClass::pix);
  const Topology topology(std::move(spec));
  EXPECT_EQ(way(topology, 0, 1), "gpu0 fast m gpu1");
}

TEST(Topology, Between_equal_classes_and_latencies_fewer_hops_win) {
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  const int gpu0 = builder.add_vertex("gpu0", VertexKind::gpu);
  const int gpu1 = builder.add_vertex("gpu1", VertexKind::gpu);
  const int a = builder.add_vertex("a", VertexKind::network_switch);
  const int b = builder.add_vertex("b", VertexKind::network_switch);
  const int c = builder.add_vertex("c", VertexKind::network_switch);
  builder.add_link(gpu0, a, {{1e9}, Time(1)});
  builder.add_link(a, b, {{1e9}, Time(1)});
  builder.add_link(b, c, {{1e9}, Time(1)});
  builder.add_link(a, c, {{1e9}, Time(2)});
  builder.add_link(c, gpu1, {{1e9}, Time(1)});
  const Topology topology(std::move(spec));
  EXPECT_EQ(way(topology, 0, 1), "gpu0 a c gpu1");
}

TEST(Topology, Equal_routes_are_spread_by_the_flow_and_repeat) {
  // k = 4: hosts of different pods have (k/2)^2 = 4 equal ways.
  ClusterSpec spec;
  ClusterBuilder(spec).build(FatTree{.k = 4, .link = kFast, .uplink = kFast});
  const Topology topology(std::move(spec));
  EXPECT_EQ(topology.gpu_count(), 16);
  std::set<std::vector<LinkId>> seen;
  for (std::uint64_t flow = 0; flow < 100; ++flow) {
    const Route route = topology.route(0, 15, flow);
    EXPECT_EQ(route.links.size(), 6u);  // host edge aggregation core aggregation edge host
    EXPECT_EQ(route.latency, Time(6000));
    EXPECT_EQ(route.links, topology.route(0, 15, flow).links);
    seen.insert(route.links);
  }
  EXPECT_EQ(seen.size(), 4u);
  // Same edge switch: one way. Same pod: two.
  EXPECT_EQ(topology.route(0, 1).links.size(), 2u);
  EXPECT_EQ(topology.route(0, 2).links.size(), 4u);
}

TEST(Topology, A_route_is_a_path) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(FatTree{.k = 6, .link = kFast, .uplink = kSlow});
  const Topology topology(std::move(spec));
  for (int from = 0; from < topology.gpu_count(); ++from) {
    for (int to = 0; to < topology.gpu_count(); ++to) {
      if (from == to) {
        continue;
      }
      const Route route = topology.route(from, to, 7);
      int at = topology.vertex_of_gpu(from);
      Time latency = kTimeZero;
      for (const LinkId id : route.links) {
        ASSERT_EQ(topology.link(id).from, at);
        at = topology.link(id).to;
        latency += topology.link(id).latency;
      }
      ASSERT_EQ(at, topology.vertex_of_gpu(to));
      ASSERT_EQ(latency, route.latency);
    }
  }
}

TEST(Topology, Devices_under_the_same_switches_share_what_is_remembered) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 2,
                                      .gpus_per_switch = 4,
                                      .link = kFast,
                                      .uplink = kFast,
                                      .socket_link = kSlow});
  const Topology topology(std::move(spec));
  for (int from = 0; from < 16; ++from) {
    for (int to = 0; to < 16; ++to) {
      topology.route(from, to);
    }
  }
  EXPECT_EQ(topology.remembered_pairs(), 16u);  // 4 switches x 4 switches
}

TEST(Topology, Routes_asked_for_by_several_threads_agree) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(FatTree{.k = 8, .link = kFast, .uplink = kFast});
  const Topology shared(spec);
  const Topology alone(std::move(spec));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const int from = (i * 37 + t * 11) % shared.gpu_count();
        const int to = (i * 91 + 5) % shared.gpu_count();
        // Every thread asks all; only the first compares, because `alone` is asked by one thread.
        const Route route = shared.route(from, to, static_cast<std::uint64_t>(i));
        if (t == 0) {
          wrong[t] += route.links != alone.route(from, to, static_cast<std::uint64_t>(i)).links;
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong[0], 0);
}

TEST(Topology, Duplicate_devices_are_refused_with_both_places) {
  ClusterSpec spec;
  spec.vertices.push_back({"gpu0", VertexKind::gpu, 0, false, {"t.yaml", 3, 5}});
  spec.vertices.push_back({"gpu0", VertexKind::gpu, 0, false, {"t.yaml", 4, 5}});
  const std::string message = message_of([&] { Topology{spec}; });
  EXPECT_THAT(message, AllOf(HasSubstr("t.yaml:4:5"), HasSubstr("duplicate device \"gpu0\""),
                             HasSubstr("t.yaml:3:5")));
}

TEST(Topology, A_link_without_bandwidth_or_to_itself_is_refused) {
  ClusterSpec spec;
  spec.vertices.push_back({"gpu0", VertexKind::gpu, 0, false, {}});
  spec.vertices.push_back({"gpu1", VertexKind::gpu, 0, false, {}});
  spec.links.push_back({0, 1, {0}, kTimeZero, LinkClass::nvlink, {"t.yaml", 7, 3}});
  EXPECT_THAT(message_of([&] { Topology{spec}; }),
              AllOf(HasSubstr("t.yaml:7:3"), HasSubstr("no bandwidth")));
  spec.links[0] = {1, 1, {1e9}, kTimeZero, LinkClass::nvlink, {"t.yaml", 8, 3}};
  EXPECT_THAT(message_of([&] { Topology{spec}; }),
              AllOf(HasSubstr("t.yaml:8:3"), HasSubstr("itself")));
}

TEST(Topology, A_cluster_without_gpus_is_refused) {
  ClusterSpec spec;
  spec.file = "empty.yaml";
  EXPECT_THAT(message_of([&] { Topology{spec}; }), HasSubstr("no gpu"));
}

// Routes across a pod of 16,384 GPUs, one per node pair of a ring: what is remembered grows with
// the pairs asked for, not with the square of the GPUs.
TEST(Topology, A_pod_of_16384_gpus_answers_routes_on_demand) {
  ClusterSpec node;
  ClusterBuilder box(node);
  box.build(Switched{8, kFast, true});
  box.build(PcieTree{.sockets = 2,
                     .switches_per_socket = 4,
                     .gpus_per_switch = 1,
                     .nics_per_switch = 1,
                     .link = kFast,
                     .uplink = kSlow,
                     .socket_link = kSlow});
  ClusterSpec spec;
  ClusterBuilder(spec).build(Pod{.node = node,
                                 .count = 2048,
                                 .nodes_per_leaf = 64,
                                 .spines = 16,
                                 .nic = kFast,
                                 .uplink = kFast});
  const Topology topology(std::move(spec));
  ASSERT_EQ(topology.gpu_count(), 16384);
  for (int node_index = 0; node_index < 64; ++node_index) {
    const int from = node_index * 8;
    const int to = (from + 8) % 512;
    EXPECT_EQ(topology.route_class(from, to), LinkClass::network);
    EXPECT_EQ(topology.route_class(from, from + 1), LinkClass::nvlink);
  }
  // Same rail, same leaf: gpu switch nic leaf nic switch gpu. Another group of nodes: over a spine.
  EXPECT_EQ(topology.route(0, 8).links.size(), 6u);
  EXPECT_EQ(topology.route(0, 16383 - 7).links.size(), 8u);
  EXPECT_LE(topology.remembered_pairs(), 200u);
}

}  // namespace
}  // namespace foretoken
