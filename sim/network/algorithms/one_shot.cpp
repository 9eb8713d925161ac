#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;

std::string refusal(const Topology&, const CollectiveRequest& request) {
  return request.kind == CollectiveKind::all_reduce ? "" : "one_shot does all_reduce";
}

void build(ScheduleBuilder& builder) {
  const int ranks = builder.ranks();
  const std::int64_t values = builder.slice(1);
  const Format& wire = builder.wire();
  std::vector<Waits> received(ranks);
  for (int r = 0; r < ranks; ++r) {
    Waits ready;
    builder.code(r, CodecPhase::quantise, values, wire, ready);
    for (int to = builder.next(r); to != r; to = builder.next(to)) {
      received[to].push_back(builder.send(r, to, values, wire, ready));
    }
  }
  for (int r = 0; r < ranks; ++r) {
    // The own vector in its dequantised form too, so that all ranks end with the same bytes.
    builder.code(r, CodecPhase::dequantise, values * ranks, wire, received[r]);
  }
}

}  // namespace

const CollectiveAlgorithm kOneShot{Algorithm::one_shot,
                                   "one_shot",
                                   "all_reduce: 1 step, M (N - 1) bytes a rank",
                                   refusal,
                                   build,
                                   false,
                                   false};

}  // namespace foretoken
