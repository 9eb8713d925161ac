#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "sim/core/error.h"
#include "sim/network/algorithms/algorithm.h"
#include "sim/network/collective.h"
#include "sim/topology/builders.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

constexpr double kBandwidth = 100e9;  // 10 ps a byte
const CollectiveCosts kFree;

Topology switched(int gpus, bool multicast = false, Time hop = kTimeZero) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Switched{gpus, {{kBandwidth}, hop}, multicast});
  return Topology(std::move(spec));
}

// Two sockets of `per_socket` GPUs under one switch each.
Topology two_sockets(int per_socket, double gpu, double socket) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .gpus_per_switch = per_socket,
                                      .link = {{gpu}, kTimeZero},
                                      .uplink = {{1e15}, kTimeZero},
                                      .socket_link = {{socket}, kTimeZero}});
  return Topology(std::move(spec));
}

CollectiveRequest request(std::int64_t values, int ranks, Algorithm algorithm, Format wire = kBf16,
                          int chunks = 1) {
  CollectiveRequest made;
  made.values = values;
  made.gpus.resize(ranks);
  std::iota(made.gpus.begin(), made.gpus.end(), 0);
  made.algorithm = algorithm;
  made.wire = wire;
  made.chunks = chunks;
  return made;
}

double seconds(const Topology& topology, const CollectiveRequest& asked,
               const CollectiveCosts& costs = kFree) {
  return to_seconds(simulate_alone(topology, costs, asked).total);
}

TEST(OneShot, Sends_the_whole_vector_to_every_peer_in_one_step) {
  const CollectiveTime time =
      simulate_alone(switched(4, false, Time(500)), kFree, request(1000, 4, Algorithm::one_shot));
  // 3 vectors of 2000 bytes leave each GPU: 3 x 20,000 ps after two hops.
  EXPECT_EQ(time.total, Time(1000 + 60'000));
  EXPECT_EQ(time.wire_bytes_per_rank, 6000);
}

TEST(Tree, Every_rank_count_reduces_up_and_sends_down_about_two_vectors) {
  for (int n = 2; n <= 17; ++n) {
    const CollectiveTime time =
        simulate_alone(switched(n), kFree, request(1 << 16, n, Algorithm::tree));
    EXPECT_LE(time.wire_bytes_per_rank, 2 * (2 << 16) + (2 << 16)) << n;
    EXPECT_GT(time.total, kTimeZero);
    // All ranks but the root send up, all but the root are sent to: 2 (N - 1) halves in each tree.
    const Schedule schedule =
        make_schedule(switched(n), kFree, request(1 << 16, n, Algorithm::tree));
    EXPECT_EQ(schedule.size(), static_cast<std::size_t>(4 * (n - 1))) << n;
  }
}

TEST(Tree, Takes_about_two_log_n_steps_of_latency) {
  CollectiveCosts costs;
  costs.step_latency = Time(1'000'000);
  for (const int n : {2, 4, 8, 16, 64}) {
    const CollectiveTime time = simulate_alone(switched(n), costs, request(8, n, Algorithm::tree));
    const double steps = to_micros(time.latency);
    EXPECT_GE(steps, 2 * std::log2(n) - 0.01) << n;
    EXPECT_LE(steps, 2 * (std::log2(n) + 1)) << n;
  }
}

TEST(Tree, Pipelined_chunks_bring_it_near_two_vectors_over_the_link) {
  // With many chunks both trees stream: M up and M down over every link, in each direction.
  const std::int64_t values = 8'000'000;
  const double one = 2.0 * static_cast<double>(values) / kBandwidth;
  const double plain = seconds(switched(8), request(values, 8, Algorithm::tree, kBf16, 1));
  const double piped = seconds(switched(8), request(values, 8, Algorithm::tree, kBf16, 64));
  EXPECT_LT(piped, plain / 1.5);
  EXPECT_GE(piped, 1.0 * one);
  EXPECT_LT(piped, 2.6 * one);
}

TEST(Nvls, Moves_the_vector_and_one_slice_through_each_port) {
  // M = 16,000 bytes, N = 8: 18,000 bytes at 10 ps. Latency: barrier and step, two hops each.
  const CollectiveTime time =
      simulate_alone(switched(8, true, Time(500)), kFree, request(8000, 8, Algorithm::nvls));
  EXPECT_EQ(time.total, Time(2000 + 180'000));
  EXPECT_EQ(time.wire_bytes_per_rank, 18'000);
}

TEST(Nvls, Needs_a_switch_that_multicasts_and_a_wire_it_can_add) {
  EXPECT_THROW(simulate_alone(switched(8), kFree, request(8000, 8, Algorithm::nvls)), InputError);
  EXPECT_THROW(
      simulate_alone(switched(8, true), kFree,
                     request(8192, 8, Algorithm::nvls, parse_format("int8", FormatRole::wire))),
      InputError);
}

TEST(Hierarchical, Groups_are_what_the_worst_link_class_separates) {
  const Topology box = two_sockets(4, 1e9, 1e9);
  EXPECT_EQ(locality_groups(box, {0, 1, 2, 3, 4, 5, 6, 7}),
            (std::vector<std::vector<int>>{{0, 1, 2, 3}, {4, 5, 6, 7}}));
  // Rank order may interleave the sockets.
  EXPECT_EQ(locality_groups(box, {0, 4, 1, 5}), (std::vector<std::vector<int>>{{0, 2}, {1, 3}}));
  EXPECT_EQ(locality_groups(box, {0, 1, 2}).size(), 1u);
  EXPECT_EQ(locality_groups(box, {0, 4}).size(), 1u);
}

// collectives.md section 2: N = 8, one direction over the socket link: ring 1.75 M, flat two-step 4
// M, hierarchical 1 M; each moves 14 M in all.
TEST(Hierarchical, The_socket_link_carries_exactly_the_derived_bytes) {
  constexpr double kSocket = 10e9;
  const Topology box = two_sockets(4, 1e15, kSocket);
  const std::int64_t values = 32'000'000;
  const double m = 2.0 * static_cast<double>(values) / kSocket;
  EXPECT_NEAR(seconds(box, request(values, 8, Algorithm::ring)), 1.75 * m, 1e-4 * m);
  EXPECT_NEAR(seconds(box, request(values, 8, Algorithm::two_step)), 4 * m, 1e-4 * m);
  EXPECT_NEAR(seconds(box, request(values, 8, Algorithm::hierarchical)), 1 * m, 1e-4 * m);
  for (const auto algorithm : {Algorithm::ring, Algorithm::two_step, Algorithm::hierarchical}) {
    const Schedule schedule = make_schedule(box, kFree, request(values, 8, algorithm));
    std::int64_t sum = 0;
    for (int r = 0; r < 8; ++r) {
      sum += schedule.bytes_sent(r);
    }
    EXPECT_EQ(sum, 14 * 2 * values);
  }
}

TEST(Hierarchical, Sends_two_thirds_inside_and_one_slice_across) {
  // K = 4: 2 M 3/4 + M / 4.
  const CollectiveTime time =
      simulate_alone(two_sockets(4, 1e9, 1e9), kFree, request(4000, 8, Algorithm::hierarchical));
  EXPECT_EQ(time.wire_bytes_per_rank, 8000 * 2 * 3 / 4 + 8000 / 4);
}

TEST(Hierarchical, More_than_two_groups_cross_in_two_steps) {
  // Four nodes of two GPUs: inside 2 M 1/2, across 2 (M / 2) 3/4.
  ClusterSpec node;
  ClusterBuilder box(node);
  box.build(Switched{2, {{1e12}, kTimeZero}, false});
  box.build(PcieTree{.gpus_per_switch = 2,
                     .nics_per_switch = 2,
                     .link = {{1e12}, kTimeZero},
                     .uplink = {{1e12}, kTimeZero}});
  ClusterSpec spec;
  ClusterBuilder(spec).build(Pod{.node = node, .count = 4, .nic = {{1e9}, kTimeZero}});
  const CollectiveTime time =
      simulate_alone(Topology(std::move(spec)), kFree, request(8000, 8, Algorithm::hierarchical));
  EXPECT_EQ(time.wire_bytes_per_rank, 16'000 + 2 * 8000 * 3 / 4);
}

TEST(Hierarchical, Is_refused_where_there_is_no_hierarchy) {
  EXPECT_THROW(simulate_alone(switched(8), kFree, request(4000, 8, Algorithm::hierarchical)),
               InputError);
  // Three ranks on one socket, one on the other.
  CollectiveRequest uneven = request(4000, 4, Algorithm::hierarchical);
  uneven.gpus = {0, 1, 2, 4};
  EXPECT_THROW(simulate_alone(two_sockets(4, 1e9, 1e9), kFree, uneven), InputError);
}

TEST(Hierarchical, Chunks_keep_inside_and_across_busy_together) {
  // Inside: 6/4 M over a GPU's link of b; across: 4 x M/4 over a socket link of b. Together at best
  // the longer of the two, one after the other the sum.
  const Topology box = two_sockets(4, 20e9, 20e9);
  const std::int64_t values = 8'000'000;
  const double m = 2.0 * static_cast<double>(values) / 20e9;
  const double plain = seconds(box, request(values, 8, Algorithm::hierarchical, kBf16, 1));
  const double piped = seconds(box, request(values, 8, Algorithm::hierarchical, kBf16, 16));
  EXPECT_NEAR(plain, 2.5 * m, 1e-3 * m);
  EXPECT_LT(piped, 1.9 * m);
  EXPECT_GE(piped, 1.75 * m - 1e-6);  // a GPU sends 1.5 M + 0.25 M over its one link
}

TEST(TwoStep, Its_steps_may_differ_in_width) {
  CollectiveRequest asked =
      request(4 * 4096, 4, Algorithm::two_step, parse_format("int4/g32", FormatRole::wire));
  asked.second_wire = parse_format("int8/g128", FormatRole::wire);
  // Slices of 4096 values: 128 x 20 bytes down, 32 x 132 bytes back, to three peers each.
  EXPECT_EQ(simulate_alone(switched(4), kFree, asked).wire_bytes_per_rank,
            3 * (128 * 20 + 32 * 132));
}

TEST(Ring, A_quantised_ring_codes_at_every_reducing_step) {
  CollectiveCosts costs;
  costs.codec = [](CodecPhase, std::int64_t, const Format&) { return Time(1'000'000); };
  const CollectiveTime time =
      simulate_alone(switched(4), costs,
                     request(4 * 128, 4, Algorithm::ring, parse_format("int8", FormatRole::wire)));
  // Quantise, 3 times dequantise-add-quantise, dequantise at the end.
  EXPECT_EQ(time.codec, Time(5'000'000));
}

TEST(Chunks, Overlap_the_codec_with_the_wire) {
  CollectiveCosts costs;
  // As fast as the wire: 2 bytes a value at 10 ps, w = 1.03.
  costs.codec = [](CodecPhase, std::int64_t values, const Format&) { return Time(10 * values); };
  const Format int8 = parse_format("int8", FormatRole::wire);
  const std::int64_t values = 8 * 128 * 1000;
  const double plain =
      seconds(switched(8), request(values, 8, Algorithm::two_step, int8, 1), costs);
  const double piped =
      seconds(switched(8), request(values, 8, Algorithm::two_step, int8, 8), costs);
  EXPECT_LT(piped, 0.85 * plain);
  // Never below what codec or wire take alone.
  const double codec = 10e-12 * static_cast<double>(values) * (1 + 9.0 / 8 + 1);
  EXPECT_GE(piped, codec);
}

TEST(AllToAll, Skewed_loads_are_bound_by_the_busiest_rank) {
  CollectiveRequest asked = request(1, 4, Algorithm::direct);
  asked.kind = CollectiveKind::all_to_all;
  asked.pair_values.assign(16, 100);
  asked.pair_values[1] = asked.pair_values[2] = asked.pair_values[3] = 1000;
  // Rank 0 sends 3 x 2000 bytes at 10 ps.
  EXPECT_EQ(simulate_alone(switched(4), kFree, asked).total, Time(60'000));
}

TEST(AllToAll, The_hierarchy_crosses_the_slow_link_once_per_group) {
  CollectiveRequest asked = request(8 * 1000, 8, Algorithm::hierarchical);
  asked.kind = CollectiveKind::all_to_all;
  // Each GPU: 4 slices across in one message; 3 of its own and 3 relayed inside: 10 slices sent.
  EXPECT_EQ(simulate_alone(two_sockets(4, 1e9, 1e9), kFree, asked).wire_bytes_per_rank, 20'000);
}

// Rank 0 has ten times as much for every other rank; rank 5 sends nothing.
TEST(AllToAll, The_hierarchy_takes_skewed_loads_and_sends_no_empty_message_directly) {
  CollectiveRequest asked = request(1, 8, Algorithm::hierarchical);
  asked.kind = CollectiveKind::all_to_all;
  asked.pair_values.assign(64, 100);
  for (int to = 0; to < 8; ++to) {
    asked.pair_values[to] = 1000;
    asked.pair_values[5 * 8 + to] = 0;
  }
  const Topology box = two_sockets(4, 1e9, 1e9);
  // Rank 0: 3 inside, 4 across, and what rank 4 hands it for the other three.
  EXPECT_EQ(simulate_alone(box, kFree, asked).wire_bytes_per_rank, 2 * (3000 + 4000 + 300));
  asked.algorithm = Algorithm::direct;
  const Schedule schedule = make_schedule(box, kFree, asked);
  EXPECT_EQ(schedule.size(), 7u * 7u);
  EXPECT_EQ(schedule.bytes_sent(5), 0);
}

TEST(Protocols, Each_changes_latency_and_bandwidth) {
  CollectiveCosts costs;
  costs.step_latency = Time(100);
  costs.protocols[Protocol::simple] = {1, Time(5000), Time(300)};
  costs.protocols[Protocol::ll] = {0.5, Time(1000), Time(10)};
  CollectiveRequest asked = request(1000, 2, Algorithm::one_shot);
  asked.protocol = Protocol::simple;
  EXPECT_EQ(simulate_alone(switched(2), costs, asked).total, Time(5000 + 400 + 20'000));
  asked.protocol = Protocol::ll;
  EXPECT_EQ(simulate_alone(switched(2), costs, asked).total, Time(1000 + 110 + 40'000));
}

TEST(Protocols, The_faster_one_for_the_size_is_chosen) {
  CollectiveCosts costs;
  costs.protocols[Protocol::simple] = {1, Time(5'000'000), kTimeZero};
  costs.protocols[Protocol::ll] = {0.5, kTimeZero, kTimeZero};
  // ll costs M / b more, simple 5 us: equal at 500 kB.
  for (const auto& [values, expected] :
       {std::pair(1000, Protocol::ll), std::pair(240'000, Protocol::ll),
        std::pair(260'000, Protocol::simple), std::pair(10'000'000, Protocol::simple)}) {
    const CollectiveTime time =
        simulate_alone(switched(2), costs, request(values, 2, Algorithm::one_shot));
    EXPECT_EQ(time.protocol, expected) << values;
  }
}

TEST(Choice, Is_the_fastest_of_all_that_can_run) {
  const Topology topology = switched(8, true, Time(300'000));
  for (std::int64_t values = 64; values < 100'000'000; values *= 7) {
    const CollectiveChoice choice =
        choose(topology, kFree, request(values, 8, Algorithm::automatic));
    EXPECT_EQ(choice.candidates.size(), 5u);  // ring, tree, one_shot, two_step, nvls
    for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
      if (algorithm.refusal(topology, request(values, 8, algorithm.id)).empty()) {
        EXPECT_LE(choice.best.total,
                  simulate_alone(topology, kFree, request(values, 8, algorithm.id)).total);
      }
    }
  }
}

TEST(Choice, Latency_decides_small_sizes_and_bytes_large_ones) {
  const Topology topology = switched(8, false, Time(1'000'000));
  EXPECT_EQ(choose(topology, kFree, request(64, 8, Algorithm::automatic)).best.algorithm,
            Algorithm::one_shot);
  const CollectiveChoice large =
      choose(topology, kFree, request(100'000'000, 8, Algorithm::automatic));
  EXPECT_EQ(large.best.algorithm, Algorithm::two_step);  // same bytes as a ring, fewer steps
  EXPECT_THAT(large.reason, HasSubstr("two_step/simple"));
  EXPECT_THAT(large.reason, HasSubstr("; next ring"));
}

TEST(Choice, Vectors_that_are_mostly_padding_go_raw) {
  const Topology topology = switched(8);
  const Format int4 = parse_format("int4/g128", FormatRole::wire);
  // 8 values in 8 slices of 128: 544 bytes instead of 16.
  EXPECT_EQ(choose(topology, kFree, request(8, 8, Algorithm::automatic, int4)).best.wire_format,
            kBf16);
  EXPECT_EQ(
      choose(topology, kFree, request(8 * 128, 8, Algorithm::automatic, int4)).best.wire_format,
      int4);
}

TEST(Choice, On_a_pcie_box_with_a_slow_socket_link_quantising_wants_the_hierarchy) {
  const Topology box = two_sockets(4, 32e9, 20e9);
  const Format int4 = parse_format("int4/g32", FormatRole::wire);
  const CollectiveChoice choice =
      choose(box, kFree, request(32'000'000, 8, Algorithm::automatic, int4, 0));
  EXPECT_EQ(choice.best.algorithm, Algorithm::hierarchical);
}

TEST(Choice, A_quantised_wire_is_not_quantised_anew_at_every_hop_unless_asked) {
  const Format int8 = parse_format("int8", FormatRole::wire);
  const Topology topology = switched(8);
  for (const CollectiveTime& time :
       choose(topology, kFree, request(1 << 20, 8, Algorithm::automatic, int8)).candidates) {
    EXPECT_NE(time.algorithm, Algorithm::ring);
    EXPECT_NE(time.algorithm, Algorithm::tree);
  }
  EXPECT_EQ(simulate_alone(topology, kFree, request(1 << 20, 8, Algorithm::ring, int8)).algorithm,
            Algorithm::ring);
}

// FlashCommunication V2 (arXiv 2508.03760) reports up to 3.2x over a bf16 ring on 8 L40 over PCIe.
// Four GPUs under a switch on each socket, PCIe Gen4 x16 at 80 % and with 2 us a step; the codec at
// 0.7 of the L40's 864 GB/s. One run per socket link.
TEST(Choice, Int4_on_eight_l40_gains_about_three_and_flat_two_step_wastes_it) {
  bool as_published = false;
  bool flat_wastes = false;
  for (const double socket : {20e9, 40e9, 80e9}) {
    ClusterSpec spec;
    ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                        .gpus_per_switch = 4,
                                        .link = {{32e9}, Time(250'000)},
                                        .uplink = {{32e9}, Time(250'000)},
                                        .socket_link = {{socket}, Time(250'000)}});
    const Topology box(std::move(spec));
    CollectiveCosts costs;
    costs.t0 = Time(5'000'000);
    costs.step_latency = Time(2'000'000);
    for (const auto c : {LinkClass::pix, LinkClass::phb, LinkClass::sys}) {
      costs.per_class[c].efficiency = 0.8;
    }
    costs.codec = [](CodecPhase, std::int64_t values, const Format& wire) {
      const double bytes = static_cast<double>(values) * (2 + wire.bytes_per_value());
      return time_from_seconds(3e-6 + bytes / (0.7 * 864e9));
    };
    const Format int4 = parse_format("int4/g128", FormatRole::wire);
    const std::int64_t values = 64 << 20;  // 128 MiB
    const double ring = seconds(box, request(values, 8, Algorithm::ring), costs);
    const double flat = seconds(box, request(values, 8, Algorithm::two_step, int4, 0), costs);
    const double deep = seconds(box, request(values, 8, Algorithm::hierarchical, int4, 0), costs);
    RecordProperty(fmt::format("socket_{}_gain_flat", socket / 1e9), fmt::to_string(ring / flat));
    RecordProperty(fmt::format("socket_{}_gain_deep", socket / 1e9), fmt::to_string(ring / deep));
    const double best = ring / std::min(flat, deep);
    as_published |= best >= 2.6 && best <= 3.8;
    flat_wastes |= ring / flat < 0.6 * ring / deep;
    // Never more than the ratio of bytes on the link that binds: bf16 2 bytes, int4/g128 0.53; the
    // hierarchy also sends 1 M instead of 1.75 M over the socket link.
    EXPECT_LT(ring / deep, 1.75 * 2 / int4.bytes_per_value());
  }
  EXPECT_TRUE(as_published);
  EXPECT_TRUE(flat_wastes);
}

TEST(Algorithms, Names_are_read_back_and_strangers_get_a_hint) {
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    EXPECT_EQ(parse_algorithm(algorithm.name), algorithm.id);
    EXPECT_EQ(name(algorithm.id), algorithm.name);
    EXPECT_FALSE(algorithm.formula.empty());
  }
  EXPECT_EQ(parse_algorithm("auto"), Algorithm::automatic);
  try {
    parse_algorithm("two_stp");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("two_step"));
  }
  EXPECT_EQ(parse_protocol("ll128"), Protocol::ll128);
  EXPECT_THROW(parse_protocol("lll"), InputError);
}

}  // namespace
}  // namespace foretoken
