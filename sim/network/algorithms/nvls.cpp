#include "sim/network/algorithms/algorithm.h"
#include "sim/network/wire_size.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;

// Links of one rank to and from a switch.
struct Port {
  LinkId up = -1;
  LinkId down = -1;
};

// The ports of all ranks at an NVSwitch that multicasts and reduces, if there is one for all.
std::vector<Port> ports_of(const Topology& topology, const std::vector<int>& gpus) {
  const ClusterSpec& spec = topology.spec();
  for (const int nvswitch : topology.vertices_of_kind(VertexKind::nvswitch)) {
    if (!topology.vertex(nvswitch).multicast) {
      continue;
    }
    std::vector<Port> ports(gpus.size());
    for (LinkId l = 0; l < topology.link_count(); ++l) {
      const LinkSpec& link = spec.links[l];
      for (std::size_t r = 0; r < gpus.size(); ++r) {
        const int vertex = topology.vertex_of_gpu(gpus[r]);
        if (link.from == vertex && link.to == nvswitch) {
          ports[r].up = l;
        } else if (link.from == nvswitch && link.to == vertex) {
          ports[r].down = l;
        }
      }
    }
    bool all = true;
    for (const Port& port : ports) {
      all &= port.up >= 0 && port.down >= 0;
    }
    if (all) {
      return ports;
    }
  }
  return {};
}

std::string refusal(const Topology& topology, const CollectiveRequest& request) {
  if (request.kind != CollectiveKind::all_reduce) {
    return "nvls does all_reduce";
  }
  if (request.wire.quantised()) {
    return "the switch adds bf16, fp16 and fp32 only: nvls cannot use a private codec";
  }
  if (request.gpus.size() < 3) {
    return "nvls gains nothing for two ranks";
  }
  return ports_of(topology, request.gpus).empty()
             ? "the group has no common NVSwitch with multicast"
             : "";
}

// Each rank reads its slice reduced by the switch, which fetches it from all of them, and writes it
// back through the switch to all. Reads and writes stream: per direction and GPU M (1 + 1/N) bytes,
// after a barrier.
void build(ScheduleBuilder& builder) {
  const int ranks = builder.ranks();
  const std::vector<Port> ports = ports_of(builder.topology(), builder.request().gpus);
  Waits barrier;
  for (int r = 0; r < ranks; ++r) {
    barrier.push_back(builder.send(r, builder.next(r), 0, builder.wire(), {}));
  }
  const std::int64_t bytes = packed_bytes(builder.slice(ranks) * (ranks + 1), builder.wire());
  for (int r = 0; r < ranks; ++r) {
    const Time latency = builder.step_latency(r, builder.next(r));
    builder.send_over(r, {{ports[r].up}, latency, kUncapped, builder.stretch()}, bytes, barrier);
    // The way down is the other ranks' doing: it is not counted as sent by this one.
    builder.send_over(-1, {{ports[r].down}, latency, kUncapped, builder.stretch()}, bytes, barrier);
  }
}

}  // namespace

const CollectiveAlgorithm kNvls{
    Algorithm::nvls,
    "nvls",
    "all_reduce: a barrier and 1 step through a switch that adds, M (1 + 1/N) bytes a rank",
    refusal,
    build,
    false,
    false};

}  // namespace foretoken
