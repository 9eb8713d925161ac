#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;

std::string refusal(const Topology&, const CollectiveRequest& request) {
  switch (request.kind) {
    case CollectiveKind::all_reduce:
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
      return "";
    case CollectiveKind::all_to_all:
    case CollectiveKind::send_recv:
      break;
  }
  return "a ring does all_reduce, all_gather and reduce_scatter";
}

// Ranks - 1 steps; in each every rank sends a slice to the next when it has received the last one.
// `ready[r]` is what rank r's next send waits for; afterwards, what holds its last slice.
void steps(ScheduleBuilder& builder, bool reduce, const Format& wire, std::vector<Waits>& ready) {
  const int ranks = builder.ranks();
  const std::int64_t slice = builder.slice(ranks);
  std::vector<TaskId> sending(ranks);
  for (int step = 0; step < ranks - 1; ++step) {
    for (int r = 0; r < ranks; ++r) {
      sending[r] = builder.send(r, builder.next(r), slice, wire, ready[r]);
    }
    for (int r = 0; r < ranks; ++r) {
      ready[r].assign(1, sending[builder.previous(r)]);
      if (reduce) {
        // One kernel: reads what came and the own slice, sums, quantises for the next rank.
        builder.code(r, CodecPhase::reduce, 3 * slice, wire, ready[r]);
      }
    }
  }
}

void build(ScheduleBuilder& builder) {
  const int ranks = builder.ranks();
  const std::int64_t slice = builder.slice(ranks);
  const CollectiveKind kind = builder.request().kind;
  const bool gathers = kind != CollectiveKind::reduce_scatter;
  std::vector<Waits> ready(ranks);
  for (int r = 0; r < ranks; ++r) {
    builder.code(r, CodecPhase::quantise, slice, builder.wire(), ready[r]);
  }
  if (kind != CollectiveKind::all_gather) {
    steps(builder, true, builder.wire(), ready);
  }
  if (gathers) {
    const Format& wire =
        kind == CollectiveKind::all_gather ? builder.wire() : builder.second_wire();
    steps(builder, false, wire, ready);
    for (int r = 0; r < ranks; ++r) {
      builder.code(r, CodecPhase::dequantise, slice * ranks, wire, ready[r]);
    }
  }
}

}  // namespace

const CollectiveAlgorithm kRing{
    Algorithm::ring,
    "ring",
    "all_reduce: 2 (N - 1) steps, 2 M (N - 1) / N bytes a rank; all_gather, reduce_scatter: half",
    refusal,
    build,
    false,
    true};

}  // namespace foretoken
