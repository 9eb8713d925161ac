#include "sim/serving/replica.h"

#include <algorithm>

#include "sim/core/error.h"

namespace foretoken {

Replica::Replica(Shared shared, int index, const SchedulerLimits& limits,
                 std::vector<std::shared_ptr<StepTimer>> stages)
    : shared_(shared),
      index_(index),
      scheduler_(make_scheduler(limits)),
      stages_(std::move(stages)),
      stage_free_(stages_.size(), kTimeZero),
      slots_(stages_.size()) {
  if (shared_.network != nullptr) {
    for (const auto& stage : stages_) {
      runs_.push_back(std::make_unique<StageRun>(*stage, shared_.events, *shared_.network));
    }
    waiting_.resize(stages_.size());
    tracers_.resize(stages_.size());
  }
}

void Replica::deliver(std::int32_t request) {
  const RequestRecord& record = shared_.record.requests[static_cast<std::size_t>(request)];
  const RequestId id = scheduler_->add(record.input_tokens, record.output_tokens);
  FT_CHECK(static_cast<std::size_t>(id) == request_of_.size());
  request_of_.push_back(request);
  last_token_.push_back(kTimeNever);
  try_start();
}

void Replica::handle(std::uint64_t payload) {
  constexpr std::uint64_t kSlot = (1ULL << 32) - 1;
  const auto slot = static_cast<std::size_t>(payload & kSlot);
  switch (payload & ~kSlot) {
    case kStageBegin:
      stage_ready(slot);
      return;
    case kStageDone:
      stage_done(slot);
      return;
    case kStageLeft:
      stage_left(slot);
      return;
    case kStepDone:
      finish(slot);
      break;
    case kStageFree:
      break;
  }
  try_start();
}

void Replica::try_start() {
  if (shared_.events.now() < stage_free_.front()) {
    return;
  }
  const auto slot =
      std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; });
  if (slot == slots_.end() || scheduler_->idle()) {
    return;
  }
  scheduler_->schedule(slot->plan);
  if (!slot->plan.empty()) {
    const auto index = static_cast<std::size_t>(slot - slots_.begin());
    mark_started(slot->plan);
    slot->busy = true;
    slot->begin = shared_.events.now();
    slot->index = shared_.record.steps;
    slot->traced = wants_trace();
    shared_.network != nullptr ? start_shared(index) : start(index);
  }
}

void Replica::mark_started(const StepPlan& plan) {
  for (const StepPlan::Item& item : plan.prefill) {
    const std::int32_t request = request_of_[static_cast<std::size_t>(item.request)];
    RequestRecord& record = shared_.record.requests[static_cast<std::size_t>(request)];
    record.started = std::min(record.started, shared_.events.now());
  }
}

bool Replica::overlaps(const StepPlan& plan) const {
  return shared_.overlap == HostOverlap::all ||
         (shared_.overlap == HostOverlap::decode && plan.prefill.empty());
}

Estimate Replica::host_estimate(const StepPlan& plan) const {
  return shared_.cost.host(!plan.prefill.empty(), plan.shape.rows, stages_.front()->ranks());
}

// Only what the GPU waits for counts.
void Replica::add_host_share(StepTime& total, const StepPlan& plan, Time host,
                             bool overlapped) const {
  const Time seen = overlapped ? std::max(kTimeZero, host - total.share.total) : host;
  total.share.add(OpFamily::host, host_estimate(plan).provenance, seen);
}

void Replica::start(std::size_t slot) {
  const Slot& s = slots_[slot];
  StepTime total;
  const Time host = shared_.draw.duration(host_estimate(s.plan));
  const bool overlapped = overlaps(s.plan);
  const Time host_done = shared_.events.now() + host;
  Time ready = overlapped ? shared_.events.now() : host_done;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    const StepTime time = stages_[stage]->time(s.plan.shape);
    ready = std::max(ready, stage_free_[stage]);
    if (s.traced) {
      add_trace(trace_alone(*stages_[stage], s.plan.shape, index_, static_cast<int>(stage), s.index,
                            ready));
    }
    ready += time.share.total;
    if (overlapped && stage == 0) {
      ready = std::max(ready, host_done);  // the host of the first stage prepares the next step
    }
    stage_free_[stage] = ready;
    total.add(time);
  }
  if (s.traced) {
    shared_.record.trace.hosts.push_back({index_, s.index, s.begin, host_done});
  }
  add_host_share(total, s.plan, host, overlapped);
  count_step(s.plan);
  count_time(s.plan, total);
  if (stages_.size() > 1) {
    shared_.events.schedule(stage_free_.front(), *this, kStageFree);
  }
  shared_.events.schedule(ready, *this, slot);
}

void Replica::start_shared(std::size_t slot) {
  Slot& s = slots_[slot];
  s.time = {};
  s.stage = 0;
  s.host = shared_.draw.duration(host_estimate(s.plan));
  s.host_done = shared_.events.now() + s.host;
  if (s.traced) {
    shared_.record.trace.hosts.push_back({index_, s.index, s.begin, s.host_done});
  }
  stage_free_.front() = kTimeNever;  // until it has left the first stage
  count_step(s.plan);
  const Time ready = overlaps(s.plan) ? shared_.events.now() : s.host_done;
  shared_.events.schedule(ready, *this, kStageBegin | slot);
}

void Replica::stage_ready(std::size_t slot) {
  const std::size_t stage = slots_[slot].stage;
  if (runs_[stage]->running()) {
    waiting_[stage].push_back(slot);
  } else {
    begin_stage(slot);
  }
}

void Replica::begin_stage(std::size_t slot) {
  const Slot& s = slots_[slot];
  StageRun& run = *runs_[s.stage];
  if (s.traced) {
    tracers_[s.stage].begin(index_, static_cast<int>(s.stage), s.index, shared_.events.now(),
                            kTimeZero);
  }
  run.observe(s.traced ? &tracers_[s.stage] : nullptr);
  run.start(s.plan.shape, *this, kStageDone | slot);
}

void Replica::stage_done(std::size_t slot) {
  Slot& s = slots_[slot];
  s.time.add(runs_[s.stage]->time());
  if (s.traced) {
    add_trace(tracers_[s.stage].take(shared_.events.now()));
  }
  const bool held = s.stage == 0 && overlaps(s.plan) && s.host_done > shared_.events.now();
  if (held) {  // the host of the first stage prepares the next step
    shared_.events.schedule(s.host_done, *this, kStageLeft | slot);
  } else {
    stage_left(slot);
  }
}

// The step goes on to the next stage, and the stage to the next step.
void Replica::stage_left(std::size_t slot) {
  Slot& s = slots_[slot];
  const std::size_t stage = s.stage++;
  const bool last = s.stage == stages_.size();
  if (last) {
    add_host_share(s.time, s.plan, s.host, overlaps(s.plan));
    count_time(s.plan, s.time);
  }
  if (!waiting_[stage].empty()) {
    const std::size_t next = waiting_[stage].front();
    waiting_[stage].pop_front();
    begin_stage(next);
  }
  if (stage == 0) {
    stage_free_.front() = shared_.events.now();
    shared_.events.schedule(shared_.events.now(), *this, kStageFree);
  }
  if (last) {
    shared_.events.schedule(shared_.events.now(), *this, kStepDone | slot);
  } else {
    stage_ready(slot);
  }
}

void Replica::count_step(const StepPlan& plan) {
  RunRecord& record = shared_.record;
  ++record.steps;
  record.scheduled_tokens += plan.shape.tokens();
  record.decode_tokens += plan.shape.decode_sequences;
  record.peak_kv_blocks = std::max(record.peak_kv_blocks, scheduler_->used_blocks());
  record.peak_running = std::max(record.peak_running, scheduler_->running());
}

void Replica::count_time(const StepPlan& plan, const StepTime& time) {
  RunRecord& record = shared_.record;
  record.extrapolated = record.extrapolated || time.extrapolated;
  if (plan.prefill.empty()) {
    record.decode_steps.add(time.share);
  } else {
    record.prefill_steps.add(time.share);
    ++record.prefill_step_count;
  }
}

// Whether the step that begins now belongs to the traced stretch.
bool Replica::wants_trace() const {
  const auto& window = shared_.recording.trace;
  if (!window || shared_.events.now() < window->from || shared_.events.now() >= window->until) {
    return false;
  }
  RunTrace& trace = shared_.record.trace;
  trace.full = trace.events >= window->max_events;
  return !trace.full;
}

void Replica::add_trace(StageTrace trace) {
  shared_.record.trace.events += trace.events(static_cast<std::size_t>(stages_.front()->ranks()));
  shared_.record.trace.stages.push_back(std::move(trace));
}

void Replica::sample(const Slot& slot) {
  StepSample sample;
  sample.begin = slot.begin;
  sample.end = shared_.events.now();
  sample.replica = index_;
  const BatchShape& shape = slot.plan.shape;
  sample.rows = static_cast<std::int32_t>(shape.rows);
  sample.prefill_tokens = shape.tokens() - shape.decode_sequences;
  sample.decode_sequences = shape.decode_sequences;
  sample.waiting = scheduler_->waiting();
  sample.running = scheduler_->running();
  sample.kv_blocks = scheduler_->used_blocks();
  shared_.record.timeline.push_back(sample);
}

void Replica::emit_token(RequestId id, Time now) {
  Time& last = last_token_[static_cast<std::size_t>(id)];
  const std::int32_t request = request_of_[static_cast<std::size_t>(id)];
  if (last == kTimeNever) {
    shared_.record.requests[static_cast<std::size_t>(request)].first_token = now;
  } else if (request >= shared_.first_scored) {
    auto& gaps = shared_.record.gaps;
    const Time gap = now - last;
    // Nearly all requests of a step saw the same gap: one run.
    if (!gaps.empty() && gaps.back().first == gap) {
      ++gaps.back().second;
    } else {
      gaps.emplace_back(gap, 1);
    }
  }
  last = now;
}

void Replica::finish(std::size_t slot) {
  Slot& s = slots_[slot];
  const Time now = shared_.events.now();
  for (const RequestId id : s.plan.decode) {
    emit_token(id, now);
  }
  scheduler_->complete(s.plan, outcome_);
  s.busy = false;
  if (shared_.recording.timeline) {
    sample(s);
  }
  for (const RequestId id : outcome_.first_tokens) {
    emit_token(id, now);
  }
  for (const RequestId id : outcome_.finished) {
    const std::int32_t request = request_of_[static_cast<std::size_t>(id)];
    RequestRecord& record = shared_.record.requests[static_cast<std::size_t>(request)];
    record.finish = now;
    record.replica = index_;
    shared_.record.end = std::max(shared_.record.end, now);
    --load_;
    shared_.listener.finished(request);
  }
}

}  // namespace foretoken
