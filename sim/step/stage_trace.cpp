#include "sim/step/stage_trace.h"

#include <utility>

#include "sim/core/error.h"

namespace foretoken {
namespace {

struct Ignore final : EventHandler {
  void handle(std::uint64_t /*payload*/) override {}
};

}  // namespace

void StageTracer::begin(int replica, int stage, std::int64_t step, Time now, Time offset) {
  trace_ = {};
  trace_.replica = replica;
  trace_.stage = stage;
  trace_.step = step;
  trace_.begin = now + offset;
  transfers_.clear();
  offset_ = offset;
}

StageTrace StageTracer::take(Time now) {
  trace_.end = now + offset_;
  return std::exchange(trace_, {});
}

void StageTracer::worked(const StepProgram::Part& part, Time begin, Time end) {
  Time at = begin + offset_;
  for (const StepProgram::Work& work : part.work) {
    trace_.operators.push_back({work.name, work.family, at, at + work.time});
    at += work.time;
  }
  FT_CHECK(at == end + offset_, "operators do not add up to the part they are of");
}

void StageTracer::communicated(const CollectiveOp& op, Time begin, Time end) {
  const bool hop = op.kind == CollectiveKind::send_recv;
  trace_.collectives.push_back(
      {{std::string(kCollectiveKindNames[static_cast<std::size_t>(op.kind)]),
        hop ? OpFamily::send_recv : OpFamily::collective, begin + offset_, end + offset_},
       std::exchange(transfers_, {})});
}

void StageTracer::transferred(const SchedulePath& path, std::int64_t bytes, Time begin, Time end) {
  transfers_.push_back(
      {path.links, begin + offset_, end + offset_, path.stretch * static_cast<double>(bytes)});
}

StageTrace trace_alone(StepTimer& timer, const BatchShape& batch, int replica, int stage,
                       std::int64_t step, Time begin) {
  EventQueue events;
  FlowNetwork network(events, timer.link_capacity());
  StageRun run(timer, events, network);
  StageTracer tracer;
  tracer.begin(replica, stage, step, kTimeZero, begin);
  run.observe(&tracer);
  Ignore ignore;
  run.start(batch, ignore, 0);
  events.run();
  return tracer.take(events.now());
}

}  // namespace foretoken
