#include "sim/step/stage_run.h"

#include "sim/core/error.h"

namespace foretoken {

StageRun::StageRun(StepTimer& timer, EventQueue& events, FlowNetwork& network)
    : timer_(&timer), events_(&events), network_(&network) {}

void StageRun::start(const BatchShape& batch, EventHandler& done, std::uint64_t payload) {
  FT_CHECK(!running_, "a stage works on one step at a time");
  program_ = timer_->program(batch, observer_ != nullptr);
  FT_CHECK(!program_.runs.empty());
  done_ = &done;
  payload_ = payload;
  run_ = part_ = 0;
  repeat_ = 0;
  time_ = {};
  running_ = true;
  done_before_ = kTimeZero;
  begin_part();
}

void StageRun::schedule(Time after, Event event) {
  events_->schedule(events_->now() + after, *this, static_cast<std::uint64_t>(event));
}

void StageRun::handle(std::uint64_t payload) {
  switch (static_cast<Event>(payload)) {
    case Event::work_done:
      if (part().collective) {
        begin_collective();
      } else {
        end_part();
      }
      break;
    case Event::launched:
      flows_.emplace(*events_, *network_, timer_->schedule(*part().collective).schedule,
                     static_cast<EventHandler*>(this),
                     static_cast<std::uint64_t>(Event::collective_done));
      if (observer_ != nullptr) {
        flows_->observe(*observer_);
      }
      flows_->start();
      break;
    case Event::collective_done:
      end_collective();
      break;
  }
}

void StageRun::begin_part() {
  time_.add(part().before);
  if (observer_ != nullptr) {
    const Time begin = events_->now() - done_before_;
    observer_->worked(part(), begin, begin + part().before.share.total);
  }
  schedule(part().before.share.total - done_before_, Event::work_done);
  done_before_ = kTimeZero;
}

void StageRun::begin_collective() {
  collective_began_ = events_->now();
  schedule(timer_->schedule(*part().collective).t0, Event::launched);
}

void StageRun::end_collective() {
  const CollectiveOp op = *part().collective;
  const Time whole = events_->now() - collective_began_;
  if (observer_ != nullptr) {
    observer_->communicated(op, collective_began_, events_->now());
  }
  const bool more = advance();
  const Time next = more ? part().before.share.total : kTimeZero;
  const Time seen = timer_->seen(whole, next);
  time_.share.add(op.kind == CollectiveKind::send_recv ? OpFamily::send_recv : OpFamily::collective,
                  timer_->schedule(op).provenance, seen);
  done_before_ = whole - seen;
  more ? begin_part() : end_step();
}

bool StageRun::advance() {
  if (++part_ == program_.runs[run_].parts.size()) {
    part_ = 0;
    if (++repeat_ == program_.runs[run_].repeat) {
      repeat_ = 0;
      ++run_;
    }
  }
  return run_ < program_.runs.size();
}

void StageRun::end_part() { advance() ? begin_part() : end_step(); }

void StageRun::end_step() {
  running_ = false;
  done_->handle(payload_);
}

}  // namespace foretoken
