#include "calibrate/collective/socket_link.h"

#include <fmt/format.h>

#include <numeric>
#include <string_view>

#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"
#include "sim/network/collective.h"
#include "sim/step/step_timer.h"
#include "sim/topology/builders.h"

namespace foretoken::calibrate {
namespace {

constexpr std::string_view kWire = "int4/g32";
constexpr double kNoLimit = 1e15;  // bytes/s
constexpr Time kPcieLatency{250'000};

// Four GPUs on each socket, two under each switch.
Topology two_sockets(double gpu_link, double socket_link, Time latency) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 2,
                                      .gpus_per_switch = 2,
                                      .link = {{gpu_link}, latency},
                                      .uplink = {{gpu_link}, latency},
                                      .socket_link = {{socket_link}, latency}});
  return Topology(std::move(spec));
}

double seconds(const Topology& box, const CollectiveCosts& costs, std::int64_t values,
               Algorithm algorithm, const Format& wire, int chunks) {
  CollectiveRequest request;
  request.values = values;
  request.wire = wire;
  request.gpus.resize(box.gpu_count());
  std::iota(request.gpus.begin(), request.gpus.end(), 0);
  request.algorithm = algorithm;
  request.chunks = chunks;
  return to_seconds(simulate_alone(box, costs, request).total);
}

}  // namespace

std::vector<SocketBytes> socket_bytes() {
  constexpr double kSocketLink = 10e9;
  constexpr std::int64_t kValues = 32'000'000;
  const Topology box = two_sockets(kNoLimit, kSocketLink, kTimeZero);
  const double vector = 2.0 * static_cast<double>(kValues) / kSocketLink;
  std::vector<SocketBytes> rows{{"ring", 0, 1.75}, {"two_step", 0, 4}, {"hierarchical", 0, 1}};
  for (SocketBytes& row : rows) {
    row.simulated = seconds(box, {}, kValues, parse_algorithm(row.algorithm), kBf16, 1) / vector;
  }
  return rows;
}

std::vector<SocketGain> socket_gains() {
  const CostModel cost(
      config::read_profile(config::find_file("l40", {}, "calibrate/profiles").string()));
  const CollectiveCosts costs = collective_costs(cost);
  const Format int4 = parse_format(std::string(kWire), FormatRole::wire);
  constexpr std::int64_t kValues = 64 << 20;
  std::vector<SocketGain> rows;
  for (const double socket_link : {20e9, 40e9, 80e9}) {
    const Topology box = two_sockets(32e9, socket_link, kPcieLatency);
    rows.push_back({socket_link, seconds(box, costs, kValues, Algorithm::ring, kBf16, 0),
                    seconds(box, costs, kValues, Algorithm::two_step, kBf16, 0),
                    seconds(box, costs, kValues, Algorithm::two_step, int4, 0),
                    seconds(box, costs, kValues, Algorithm::hierarchical, int4, 0)});
  }
  return rows;
}

ByteRatio byte_ratio() {
  const Format int4 = parse_format(std::string(kWire), FormatRole::wire);
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{
      .gpus_per_switch = 4, .link = {{32e9}, kTimeZero}, .uplink = {{kNoLimit}, kTimeZero}});
  const Topology box(std::move(spec));
  CollectiveRequest request;
  request.gpus = {0, 1, 2, 3};
  request.algorithm = Algorithm::two_step;
  request.chunks = 1;
  request.values = 64 << 20;
  const double raw = to_seconds(simulate_alone(box, {}, request).total);
  request.wire = int4;
  return {raw / to_seconds(simulate_alone(box, {}, request).total), 2 / int4.bytes_per_value()};
}

std::string to_markdown(const std::vector<SocketBytes>& bytes, const std::vector<SocketGain>& gains,
                        const ByteRatio& ratio) {
  std::string text =
      "## Two sockets of four GPUs\n\n"
      "Vectors over the socket link, one direction, from the time when nothing else binds.\n\n"
      "| algorithm | simulated | derived |\n|---|---|---|\n";
  for (const SocketBytes& row : bytes) {
    text += fmt::format("| {} | {:.4f} | {:.2f} |\n", row.algorithm, row.simulated, row.derived);
  }
  text += fmt::format(
      "\nEight L40 over PCIe Gen4, two switches of two on each socket, 128 MiB, the shipped\n"
      "profile; gain of {} over the bf16 ring. FlashCommunication V2 reports up to 3.2 and does\n"
      "not state its sockets. Where they are far apart flat two-step wastes most of the gain.\n\n"
      "| socket link | ring bf16 | two-step bf16 | flat {} | hierarchical {} "
      "| flat gains | hierarchical gains |\n|---|---|---|---|---|---|---|\n",
      kWire, kWire, kWire);
  for (const SocketGain& row : gains) {
    text += fmt::format(
        "| {:.0f} GB/s | {:.2f} ms | {:.2f} ms | {:.2f} ms | {:.2f} ms | {:.2f} | {:.2f} |\n",
        1e-9 * row.socket_link, 1e3 * row.ring, 1e3 * row.two_step, 1e3 * row.flat, 1e3 * row.deep,
        row.flat_gain(), row.deep_gain());
  }
  text += fmt::format(
      "\nWithout codec and latency, where the GPU's link binds, {} gains {:.3f}; the ratio of\n"
      "bytes is {:.3f}.\n",
      kWire, ratio.simulated, ratio.derived);
  return text;
}

}  // namespace foretoken::calibrate
