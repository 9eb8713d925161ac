#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;

std::string refusal(const Topology&, const CollectiveRequest& request) {
  return request.kind == CollectiveKind::all_reduce ? "" : "two_step does all_reduce";
}

// Flash Communication (arXiv 2412.04964): all-to-all of quantised slices, local sum, quantised
// all-gather.
void build(ScheduleBuilder& builder) {
  const int ranks = builder.ranks();
  const std::int64_t slice = builder.slice(ranks);
  std::vector<Waits> received(ranks);
  std::vector<Waits> gathered(ranks);
  for (int r = 0; r < ranks; ++r) {
    Waits ready;
    builder.code(r, CodecPhase::quantise, slice * ranks, builder.wire(), ready);
    for (int to = builder.next(r); to != r; to = builder.next(to)) {
      received[to].push_back(builder.send(r, to, slice, builder.wire(), ready));
    }
  }
  for (int r = 0; r < ranks; ++r) {
    // One kernel: reads a slice of every rank, sums, quantises one slice.
    builder.code(r, CodecPhase::reduce, slice * (ranks + 1), builder.wire(), received[r]);
    for (int to = builder.next(r); to != r; to = builder.next(to)) {
      gathered[to].push_back(builder.send(r, to, slice, builder.second_wire(), received[r]));
    }
  }
  for (int r = 0; r < ranks; ++r) {
    builder.code(r, CodecPhase::dequantise, slice * ranks, builder.second_wire(), gathered[r]);
  }
}

}  // namespace

const CollectiveAlgorithm kTwoStep{Algorithm::two_step,
                                   "two_step",
                                   "all_reduce: 2 steps, 2 M (N - 1) / N bytes a rank",
                                   refusal,
                                   build,
                                   false,
                                   false};

}  // namespace foretoken
