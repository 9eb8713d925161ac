// What a run leaves behind for drawing, where it is asked for: samples over time, and every
// operator and transfer of a stretch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.h"
#include "sim/model/operator.h"

namespace foretoken {

// One step of one replica. The counts are those after it.
struct StepSample {
  Time begin = kTimeZero;
  Time end = kTimeZero;
  std::int32_t replica = 0;
  std::int32_t rows = 0;  // that reached lm_head
  std::int64_t prefill_tokens = 0;
  std::int64_t decode_sequences = 0;
  std::int64_t waiting = 0;  // requests in the engine's queue
  std::int64_t running = 0;  // requests that hold KV blocks
  std::int64_t kv_blocks = 0;
  std::int64_t tokens() const { return prefill_tokens + decode_sequences; }
};

// Steps that begin in [from, until) are traced, until the trace holds `max_events`.
struct TraceWindow {
  Time from = kTimeZero;
  Time until = kTimeNever;
  std::size_t max_events = 0;
};

struct Recording {
  bool timeline = false;
  std::optional<TraceWindow> trace;
};

// An operator of all ranks of a stage, in step.
struct OperatorSpan {
  std::string name;
  OpFamily family = OpFamily::gemm;
  Time begin = kTimeZero;
  Time end = kTimeZero;
};

// From the first byte on the links to the last.
struct TransferSpan {
  std::vector<std::int32_t> links;
  Time begin = kTimeZero;
  Time end = kTimeZero;
  double bytes = 0;  // on the links: a protocol's flags included
};

struct CollectiveSpan {
  OperatorSpan span;
  std::vector<TransferSpan> transfers;
};

// One step of one pipeline stage. Without overlap nothing in it runs beside anything else.
struct StageTrace {
  std::int32_t replica = 0;
  std::int32_t stage = 0;
  std::int64_t step = 0;  // index among the run's steps
  Time begin = kTimeZero;
  Time end = kTimeZero;
  std::vector<OperatorSpan> operators;
  std::vector<CollectiveSpan> collectives;

  // What a trace shows of it, each rank in a row of its own and each transfer with two ends.
  std::size_t events(std::size_t ranks) const {
    std::size_t sum = ranks * (operators.size() + collectives.size());
    for (const CollectiveSpan& collective : collectives) {
      sum += 2 * collective.transfers.size();
    }
    return sum;
  }
};

// The engine's own work for a step.
struct HostSpan {
  std::int32_t replica = 0;
  std::int64_t step = 0;
  Time begin = kTimeZero;
  Time end = kTimeZero;
};

struct RunTrace {
  std::vector<StageTrace> stages;
  std::vector<HostSpan> hosts;
  std::size_t events = 0;
  bool full = false;  // ended by max_events, not by the window
};

}  // namespace foretoken
