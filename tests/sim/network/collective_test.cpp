#include "sim/network/collective.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "sim/core/error.h"
#include "sim/network/wire_size.h"
#include "sim/topology/builders.h"

namespace foretoken {
namespace {

constexpr double kBandwidth = 100e9;  // 100 bytes per ns: 10 ps a byte
constexpr Time kHop{1000};

Topology switched(int gpus, double bandwidth = kBandwidth) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Switched{gpus, {{bandwidth}, kHop}, false});
  return Topology(std::move(spec));
}

std::vector<int> first(int count) {
  std::vector<int> gpus(count);
  std::iota(gpus.begin(), gpus.end(), 0);
  return gpus;
}

CollectiveRequest request(CollectiveKind kind, std::int64_t values, int ranks,
                          Algorithm algorithm = Algorithm::automatic, Format wire = kBf16) {
  CollectiveRequest made;
  made.kind = kind;
  made.values = values;
  made.gpus = first(ranks);
  made.algorithm = algorithm;
  made.wire = wire;
  return made;
}

const CollectiveCosts kFree;

TEST(Collective, One_rank_or_no_values_take_no_time) {
  CollectiveCosts costs;
  costs.t0 = Time(5000);
  for (const auto kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather,
                          CollectiveKind::reduce_scatter, CollectiveKind::all_to_all}) {
    EXPECT_EQ(simulate_alone(switched(2), costs, request(kind, 1 << 20, 1)).total, kTimeZero);
    EXPECT_EQ(simulate_alone(switched(2), costs, request(kind, 0, 2)).total, kTimeZero);
  }
}

TEST(Collective, A_send_over_an_empty_link_is_alpha_plus_bytes_times_beta) {
  CollectiveCosts costs;
  costs.t0 = Time(7);
  costs.step_latency = Time(300);
  costs.per_class[LinkClass::nvlink] = {0.5, Time(20)};
  const CollectiveTime time =
      simulate_alone(switched(2), costs, request(CollectiveKind::send_recv, 5000, 2));
  // alpha = 7 + 300 + 20 + 2 hops x 1000; 10,000 bytes at 50 GB/s = 200 ns.
  EXPECT_EQ(time.latency, Time(2327));
  EXPECT_EQ(time.wire, Time(200'000));
  EXPECT_EQ(time.total, Time(202'327));
  EXPECT_EQ(time.wire_bytes_per_rank, 10'000);
}

// T = 2 (N - 1) (step latency + M / N / bandwidth), exactly.
TEST(Collective, Ring_all_reduce_meets_its_closed_form) {
  CollectiveCosts costs;
  costs.t0 = Time(11);
  costs.step_latency = Time(500);
  for (const int n : {2, 3, 4, 8, 16}) {
    const std::int64_t values = 1000LL * n;  // slices of 1000 values, 2000 bytes, 20,000 ps
    const CollectiveTime time = simulate_alone(
        switched(n), costs, request(CollectiveKind::all_reduce, values, n, Algorithm::ring));
    EXPECT_EQ(time.total, Time(11 + 2 * (n - 1) * (500 + 2000 + 20'000))) << n;
    EXPECT_EQ(time.wire, Time(2 * (n - 1) * 20'000)) << n;
    EXPECT_EQ(time.total, time.latency + time.wire + time.codec);
    // M = 2000 n bytes: 2 M (N - 1) / N.
    EXPECT_EQ(time.wire_bytes_per_rank, 2 * (n - 1) * 2000) << n;
  }
}

TEST(Collective, Ring_all_gather_and_reduce_scatter_are_half_of_it) {
  const std::int64_t values = 8000;
  for (const auto kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    const CollectiveTime time =
        simulate_alone(switched(8), kFree, request(kind, values, 8, Algorithm::ring));
    EXPECT_EQ(time.total, Time(7 * (2000 + 20'000)));
    EXPECT_EQ(time.wire_bytes_per_rank, 7 * 2000);
  }
}

// Two steps; in each a GPU's link carries N - 1 slices at once.
TEST(Collective, Two_step_all_reduce_meets_its_closed_form) {
  for (const int n : {2, 4, 8}) {
    const CollectiveTime time =
        simulate_alone(switched(n), kFree,
                       request(CollectiveKind::all_reduce, 1000LL * n, n, Algorithm::two_step));
    EXPECT_EQ(time.total, Time(2 * (2000 + (n - 1) * 20'000))) << n;
    EXPECT_EQ(time.wire_bytes_per_rank, 2 * (n - 1) * 2000) << n;
  }
}

TEST(Collective, All_to_all_sends_each_peer_its_slice_at_once) {
  const CollectiveTime time =
      simulate_alone(switched(4), kFree, request(CollectiveKind::all_to_all, 4000, 4));
  EXPECT_EQ(time.total, Time(2000 + 3 * 20'000));
  EXPECT_EQ(time.wire_bytes_per_rank, 3 * 2000);
}

TEST(Collective, A_quantised_wire_sends_whole_groups_and_its_metadata) {
  const Format int4 = parse_format("int4/g32", FormatRole::wire);
  // 4 ranks x 1024 values: slices of 1024 values = 32 groups x (16 + 4) bytes.
  const CollectiveTime time = simulate_alone(
      switched(4), kFree, request(CollectiveKind::all_reduce, 4096, 4, Algorithm::two_step, int4));
  EXPECT_EQ(time.wire_bytes_per_rank, 2 * 3 * 640);
  // 4097 values: slices of 1056 values, 33 groups.
  const CollectiveTime padded = simulate_alone(
      switched(4), kFree, request(CollectiveKind::all_reduce, 4097, 4, Algorithm::two_step, int4));
  EXPECT_EQ(padded.wire_bytes_per_rank, 2 * 3 * 660);
}

// Quantise n, read n and write n / N, dequantise n: each once on the critical path.
TEST(Collective, Codec_work_of_a_two_step_all_reduce_is_quantise_reduce_dequantise) {
  CollectiveCosts costs;
  costs.codec = [](CodecPhase, std::int64_t values, const Format&) { return Time(100 + values); };
  CollectiveRequest coded = request(CollectiveKind::all_reduce, 4096, 4, Algorithm::two_step,
                                    parse_format("int8", FormatRole::wire));
  coded.chunks = 1;
  const CollectiveTime time = simulate_alone(switched(4), costs, coded);
  EXPECT_EQ(time.codec, Time((100 + 4096) + (100 + 5120) + (100 + 4096)));
  EXPECT_EQ(time.total, time.latency + time.wire + time.codec);
  // The same on a raw wire costs none.
  EXPECT_EQ(simulate_alone(switched(4), costs,
                           request(CollectiveKind::all_reduce, 4096, 4, Algorithm::two_step))
                .codec,
            kTimeZero);
}

TEST(Collective, A_kernel_of_its_own_passes_over_what_a_raw_wire_brings) {
  CollectiveCosts costs;
  costs.pass = [](CodecPhase, std::int64_t values) { return Time(values); };
  CollectiveRequest raw = request(CollectiveKind::all_reduce, 4096, 4, Algorithm::two_step);
  raw.chunks = 1;
  EXPECT_EQ(simulate_alone(switched(4), costs, raw).codec, Time(4096 + 5120 + 4096));
  raw.wire = parse_format("int8", FormatRole::wire);
  EXPECT_EQ(simulate_alone(switched(4), costs, raw).codec, kTimeZero);
}

TEST(Collective, With_codec_and_latency_off_the_gain_is_the_ratio_of_bytes) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Switched{4, {{kBandwidth}, kTimeZero}, false});
  const Topology topology(std::move(spec));
  const std::int64_t values = 4 * 32 * 1000;
  const auto seconds = [&](const Format& wire) {
    return to_seconds(
        simulate_alone(topology, kFree,
                       request(CollectiveKind::all_reduce, values, 4, Algorithm::two_step, wire))
            .total);
  };
  for (const char* text : {"int8", "int6", "int5", "int4", "int3", "int2", "int4/g32/spike/log8"}) {
    const Format wire = parse_format(text, FormatRole::wire);
    const double w = wire.bytes_per_value();
    EXPECT_NEAR(seconds(kBf16) / seconds(wire), 2 / w, 2 / w * 1e-3) << text;
  }
}

// Two sockets of four GPUs. Flat two-step sends every slice of a far rank over the socket link: 4 M
// in each direction for N = 8 in all; the ring crosses it once each way: 1.75 M. The socket link
// binds.
TEST(Collective, The_socket_link_carries_four_vectors_of_a_flat_two_step_and_1_75_of_a_ring) {
  constexpr double kGpuLink = 1e15;  // no limit
  constexpr double kSocketLink = 10e9;
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .gpus_per_switch = 4,
                                      .link = {{kGpuLink}, kTimeZero},
                                      .uplink = {{kGpuLink}, kTimeZero},
                                      .socket_link = {{kSocketLink}, kTimeZero}});
  const Topology topology(std::move(spec));
  const std::int64_t values = 8 * 1'000'000;
  const double m = 2.0 * static_cast<double>(values);
  const auto seconds = [&](Algorithm algorithm) {
    return to_seconds(
        simulate_alone(topology, kFree, request(CollectiveKind::all_reduce, values, 8, algorithm))
            .total);
  };
  EXPECT_NEAR(seconds(Algorithm::two_step), 4 * m / kSocketLink, 1e-4 * m / kSocketLink);
  EXPECT_NEAR(seconds(Algorithm::ring), 1.75 * m / kSocketLink, 1e-4 * m / kSocketLink);
}

TEST(Collective, More_bandwidth_never_makes_a_symmetric_collective_later) {
  for (const auto algorithm : {Algorithm::ring, Algorithm::two_step}) {
    Time last = kTimeNever;
    for (double bandwidth = 1e9; bandwidth < 1e12; bandwidth *= 1.37) {
      const Time now = simulate_alone(switched(8, bandwidth), kFree,
                                      request(CollectiveKind::all_reduce, 123'457, 8, algorithm))
                           .total;
      EXPECT_LE(now, last) << bandwidth;
      last = now;
    }
  }
}

TEST(Collective, Quantised_never_sends_more_than_raw_from_n_times_g_values_on) {
  for (const char* text : {"int8", "int5", "int4", "int2/spike", "int8/g32/spike/log8"}) {
    const Format wire = parse_format(text, FormatRole::wire);
    for (const int n : {2, 3, 4, 8}) {
      for (std::int64_t values = n * wire.group; values < 40 * n * wire.group; values += 977) {
        const auto bytes = [&](const Format& format) {
          return simulate_alone(
                     switched(n), kFree,
                     request(CollectiveKind::all_reduce, values, n, Algorithm::two_step, format))
              .wire_bytes_per_rank;
        };
        EXPECT_LE(bytes(wire), bytes(kBf16)) << text << " n " << n << " values " << values;
      }
    }
  }
}

TEST(Collective, An_algorithm_that_cannot_do_the_kind_is_refused) {
  EXPECT_THROW(simulate_alone(switched(4), kFree,
                              request(CollectiveKind::all_to_all, 100, 4, Algorithm::ring)),
               InputError);
}

TEST(Collective, A_gpu_twice_in_a_group_or_not_in_the_cluster_is_refused) {
  CollectiveRequest twice = request(CollectiveKind::all_reduce, 100, 2);
  twice.gpus = {0, 0};
  EXPECT_THROW(simulate_alone(switched(4), kFree, twice), InputError);
  twice.gpus = {0, 9};
  EXPECT_THROW(simulate_alone(switched(4), kFree, twice), InputError);
}

TEST(WireSize, Matches_the_table_of_bytes_per_value) {
  // 128 groups of 32 x 2 bits = 8 B of codes. Spikes are 4 B of values and 2 B of positions; scale
  // and zero point take 2 B (log8) or 4 B (affine): 16 B or 18 B a group.
  EXPECT_EQ(packed_bytes(4096, parse_format("int2/g32/spike/log8", FormatRole::wire)), 2048);
  EXPECT_EQ(packed_bytes(4096, parse_format("int2/g32/spike", FormatRole::wire)), 2304);
  EXPECT_EQ(packed_bytes(4096, parse_format("int5/g128", FormatRole::wire)), 4096 / 128 * 84);
  EXPECT_EQ(packed_bytes(4096, kBf16), 8192);
  EXPECT_EQ(packed_bytes(4096, kFp8), 4096);
  EXPECT_EQ(packed_bytes(1, parse_format("int5/g128", FormatRole::wire)), 84);
}

// A copy from host memory and a send from GPU to GPU meet in the switch's link down to GPU 1.
TEST(Collective, A_host_transfer_shares_the_links_it_crosses) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.gpus_per_switch = 2,
                                      .link = {{kBandwidth}, kTimeZero},
                                      .uplink = {{kBandwidth}, kTimeZero},
                                      .host_memory = {{kBandwidth}, kTimeZero}});
  const Topology topology(std::move(spec));
  CollectiveRequest send = request(CollectiveKind::send_recv, 5000, 2, Algorithm::direct);
  send.protocol = Protocol::simple;
  const Schedule schedule = make_schedule(topology, kFree, send);
  EventQueue queue;
  FlowNetwork network(queue, effective_capacity(topology, kFree));
  ScheduleRun run(queue, network, schedule);
  struct Copy final : EventHandler {
    void handle(std::uint64_t) override { ended = queue->now(); }
    EventQueue* queue = nullptr;
    Time ended = kTimeNever;
  } copy;
  copy.queue = &queue;
  const int memory = topology.vertices_of_kind(VertexKind::host_memory).at(0);
  network.start(topology.route_between(memory, topology.vertex_of_gpu(1)).links, 30'000, copy, 0);
  run.start();
  queue.run();
  // 10,000 bytes at half of 100 bytes a ns: 200 ns; by then the copy has 20,000 left, alone.
  EXPECT_EQ(run.time().total, Time(200'000));
  EXPECT_EQ(copy.ended, Time(400'000));
}

// Two switches with two GPUs each, all links alike.
Topology two_switches() {
  ClusterSpec spec;
  for (const char* id : {"gpu0", "gpu1", "gpu2", "gpu3"}) {
    spec.vertices.push_back({id, VertexKind::gpu, 0, false, {}});
  }
  spec.vertices.push_back({"left", VertexKind::nvswitch, 0, false, {}});
  spec.vertices.push_back({"right", VertexKind::nvswitch, 0, false, {}});
  const auto join = [&](int a, int b) {
    spec.links.push_back({a, b, {kBandwidth}, kHop, LinkClass::nvlink, {}});
    spec.links.push_back({b, a, {kBandwidth}, kHop, LinkClass::nvlink, {}});
  };
  join(0, 4);
  join(1, 4);
  join(2, 5);
  join(3, 5);
  join(4, 5);
  return Topology(std::move(spec));
}

// All-to-all of four ranks, B bytes for each: a GPU sends 3 B over its own link, but 4 B cross from
// switch to switch. So the whole takes 4 B / bandwidth, a quarter of it because flows share the
// middle.
TEST(Collective, Contention_is_what_sharing_the_middle_costs) {
  const std::int64_t bytes = 1'000'000;  // 10 us
  CollectiveRequest asked =
      request(CollectiveKind::all_to_all, 4 * bytes / 2, 4, Algorithm::direct);
  asked.chunks = 1;
  asked.protocol = Protocol::simple;
  const Topology topology = two_switches();
  const CollectiveAnatomy anatomy = dissect(topology, kFree, asked);
  EXPECT_EQ(anatomy.time.total, simulate_alone(topology, kFree, asked).total);
  EXPECT_NEAR(to_micros(anatomy.time.wire), 40, 0.1);
  EXPECT_NEAR(to_micros(anatomy.contention), 10, 0.1);
  const LinkSpec& link = topology.link(anatomy.critical_link);
  EXPECT_TRUE((link.from == 4 && link.to == 5) || (link.from == 5 && link.to == 4));
  EXPECT_NEAR(anatomy.critical_share, 1, 0.01);
}

TEST(Collective, A_ring_that_crosses_each_link_once_knows_no_contention) {
  CollectiveRequest asked = request(CollectiveKind::all_reduce, 1 << 20, 4, Algorithm::ring);
  asked.chunks = 1;
  asked.protocol = Protocol::simple;
  const CollectiveAnatomy anatomy = dissect(two_switches(), kFree, asked);
  EXPECT_EQ(anatomy.contention, kTimeZero);
  EXPECT_GT(anatomy.critical_share, 0.9);
}

}  // namespace
}  // namespace foretoken
