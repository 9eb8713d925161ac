#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

using Waits = ScheduleBuilder::Waits;

std::string refusal(const Topology&, const CollectiveRequest& request) {
  return request.kind == CollectiveKind::all_reduce
             ? "direct does all_gather, reduce_scatter, all_to_all and send_recv"
             : "";
}

// Slices to all peers at once. An all-gather codes one slice and sends it to all, the others code
// the whole vector and send each peer its slice.
void to_all(ScheduleBuilder& builder) {
  const int ranks = builder.ranks();
  const std::int64_t slice = builder.slice(ranks);
  const bool gathers = builder.request().kind == CollectiveKind::all_gather;
  std::vector<Waits> received(ranks);
  for (int r = 0; r < ranks; ++r) {
    Waits ready;
    builder.code(r, CodecPhase::quantise, gathers ? slice : slice * ranks, builder.wire(), ready);
    for (int to = builder.next(r); to != r; to = builder.next(to)) {
      received[to].push_back(builder.send(r, to, slice, builder.wire(), ready));
    }
  }
  for (int r = 0; r < ranks; ++r) {
    builder.code(r, CodecPhase::dequantise, slice * ranks, builder.wire(), received[r]);
  }
}

// All-to-all in which rank i has pair_values[i x ranks + j] values for rank j.
void skewed(ScheduleBuilder& builder) {
  const int ranks = builder.ranks();
  const std::vector<std::int64_t>& pairs = builder.request().pair_values;
  std::vector<Waits> received(ranks);
  std::vector<std::int64_t> total(ranks, 0);
  for (int r = 0; r < ranks; ++r) {
    const std::int64_t* row = pairs.data() + static_cast<std::ptrdiff_t>(r) * ranks;
    std::int64_t out = 0;
    for (int to = 0; to < ranks; ++to) {
      out += row[to];
      total[to] += row[to];
    }
    Waits ready;
    builder.code(r, CodecPhase::quantise, out, builder.wire(), ready);
    for (int to = builder.next(r); to != r; to = builder.next(to)) {
      if (row[to] > 0) {  // no message for nothing
        received[to].push_back(builder.send(r, to, row[to], builder.wire(), ready));
      }
    }
  }
  for (int r = 0; r < ranks; ++r) {
    builder.code(r, CodecPhase::dequantise, total[r], builder.wire(), received[r]);
  }
}

// The whole vector from rank 0 to each other one.
void send_recv(ScheduleBuilder& builder) {
  Waits ready;
  builder.code(0, CodecPhase::quantise, builder.values(), builder.wire(), ready);
  for (int to = 1; to < builder.ranks(); ++to) {
    Waits received{builder.send(0, to, builder.values(), builder.wire(), ready)};
    builder.code(to, CodecPhase::dequantise, builder.values(), builder.wire(), received);
  }
}

void build(ScheduleBuilder& builder) {
  if (builder.request().kind == CollectiveKind::send_recv) {
    send_recv(builder);
  } else if (!builder.request().pair_values.empty()) {
    skewed(builder);
  } else {
    to_all(builder);
  }
}

}  // namespace

const CollectiveAlgorithm kDirect{Algorithm::direct,
                                  "direct",
                                  "all_to_all, all_gather, reduce_scatter: 1 step, M (N - 1) / N "
                                  "bytes a rank; send_recv: 1 step, M",
                                  refusal,
                                  build,
                                  false,
                                  false};

}  // namespace foretoken
