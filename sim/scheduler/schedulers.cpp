#include "sim/scheduler/schedulers.h"

#include <array>

#include "sim/scheduler/continuous.h"
#include "sim/scheduler/prefill_first.h"
#include "sim/scheduler/static_batch.h"

namespace foretoken {
namespace {

template <class Kind>
std::unique_ptr<Scheduler> make(const SchedulerLimits& limits) {
  return std::make_unique<Kind>(limits);
}

constexpr std::array kKinds{
    SchedulerKind{Batching::continuous, "continuous",
                  "prompts and decodes share steps under a token budget",
                  make<ContinuousScheduler>},
    SchedulerKind{Batching::prefill_first, "prefill-first",
                  "a step holds prompts or decodes; prompts go first", make<PrefillFirstScheduler>},
    SchedulerKind{Batching::static_batch, "static",
                  "a padded batch runs until its last request ends", make<StaticScheduler>}};

}  // namespace

std::span<const SchedulerKind> scheduler_kinds() { return kKinds; }

const SchedulerKind& scheduler_kind(Batching batching) {
  return kKinds[static_cast<std::size_t>(batching)];
}

std::unique_ptr<Scheduler> make_scheduler(const SchedulerLimits& limits) {
  return scheduler_kind(limits.batching).make(limits);
}

}  // namespace foretoken
